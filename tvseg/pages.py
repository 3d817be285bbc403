"""HTML pages of one look that carry all they show with them and ask for nothing."""

import base64

import jinja2


def environment(package: str) -> jinja2.Environment:
    """Templates of a package of ours, which may include the look that all pages share.

    Args:
        package: Its name; the templates lie in its folder ``templates``.

    Returns:
        An environment that escapes all values and refuses names that nobody gave.
    """
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("tvseg")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(content: bytes, kind: str) -> str:
    """A file as an address that holds it.

    Args:
        content: Of the file.
        kind: Its media type, such as ``image/png``.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
