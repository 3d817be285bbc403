"""HTML pages of one style that contain all they show and load nothing."""

import base64

import jinja2


def environment(package: str) -> jinja2.Environment:
    """Return the templates of a package of ours, which may include the style of all pages.

    Args:
        package: Its name; the templates are in its folder ``templates``.

    Returns:
        An environment that escapes all values and refuses undefined names.
    """
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("tvseg")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(content: bytes, kind: str) -> str:
    """Return a file as a data URI.

    Args:
        content: Bytes of the file.
        kind: Media type, such as ``image/png``.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
