"""Parts that other packages bring, by the names of their entry points.

A package states them in its ``pyproject.toml``::

    [project.entry-points."tvseg.operators"]
    my_operator = "my_package:my_operator"
"""

from importlib.metadata import entry_points
from typing import Any

from tvseg.errors import UserError

CENTRES = "tvseg.centres"
"""Group of kinds of ``tvseg data prepare``, each a `tvseg.data.prepare.adapters.Adapter`."""

OPERATORS = "tvseg.operators"
"""Group of values of the key ``aspp``, each a `tvseg.models.spatial.SpatialOperator`."""


def plugin_names(group: str) -> list[str]:
    """Return the names that installed packages bring to a group."""
    return sorted(entry_points(group=group).names)


def load_plugin(group: str, name: str) -> Any:
    """Return what an installed package brings under a name, ``None`` where none does.

    Raises:
        UserError: Several packages do, or the package cannot be imported.
    """
    found = list(entry_points(group=group, name=name))
    if not found:
        return None
    packages = sorted(point.dist.name for point in found if point.dist is not None)
    if len(found) > 1:
        raise UserError(
            f"{' and '.join(packages)} all bring {name} to {group}: uninstall all but one"
        )
    try:
        return found[0].load()
    except Exception as error:  # the code of others
        raise UserError(
            f"{name} of the package {packages[0]} cannot be loaded from {found[0].value} "
            f"({type(error).__name__}: {error!s:.200})"
        ) from error
