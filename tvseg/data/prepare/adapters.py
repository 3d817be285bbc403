"""The kinds of raw material that are understood, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvseg.data.prepare.kinds import (
    chaksu,
    dofe,
    drishti_gs,
    grape,
    hrf_seg,
    origa,
    own,
    papila,
    refuge,
    rim_one,
)
from tvseg.data.prepare.raw_case import Choices, Found
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UsageError, UserError
from tvseg.plugins import CENTRES, load_plugin, plugin_names


@dataclass(frozen=True)
class Adapter:
    """One kind of raw material.

    Args:
        find: Finds the cases among files.
        layout: Which files it looks for, for error messages.
        frame: Framing that suits it: as the benchmark does for photographs, none for ROIs.
        truths: Whose drawing may be chosen, the default first; empty when there is one.
        encoding_is_free: Whether label images are in an encoding of the user's.
    """

    find: Callable[[Sequence[RawFile], Choices], Found]
    layout: str
    frame: str = "800px"
    truths: tuple[str, ...] = ()
    encoding_is_free: bool = False

    def choose_truth(self, wanted: str | None) -> str:
        """Return the wanted truth, or the default.

        Raises:
            UsageError: Not one of them.
        """
        if wanted is None:
            return self.truths[0] if self.truths else ""
        if wanted not in self.truths:
            options = ", ".join(self.truths) or "no choice: there is one drawing"
            raise UsageError(f"whose drawing counts must be one of {options}; got {wanted!r}")
        return wanted


def _refuge(letters: str, centre: str) -> Adapter:
    return Adapter(refuge.finder(letters, centre), refuge.LAYOUT.format(letters[0]))


ADAPTERS = {
    "drishti-gs": Adapter(drishti_gs.find, drishti_gs.LAYOUT, truths=tuple(drishti_gs.LEVELS)),
    "rim-one-r3": Adapter(rim_one.find_r3, rim_one.LAYOUT_R3, truths=tuple(rim_one.FOLDERS)),
    "rim-one-dl": Adapter(rim_one.find_dl, rim_one.LAYOUT_DL, frame="none"),
    "refuge-train": _refuge("gn", "Domain3"),
    "refuge-val": _refuge("V", "Domain4"),
    "refuge-test": _refuge("T", "REFUGE-test"),
    "origa": Adapter(origa.find, origa.LAYOUT),
    "chaksu": Adapter(chaksu.find, chaksu.LAYOUT, truths=tuple(chaksu.TRUTHS)),
    "papila": Adapter(papila.find, papila.LAYOUT, truths=papila.TRUTHS),
    "grape": Adapter(grape.find, grape.LAYOUT, frame="none"),
    "hrf-seg": Adapter(hrf_seg.find, hrf_seg.LAYOUT, frame="2.5d"),
    "dofe": Adapter(dofe.find, dofe.LAYOUT, frame="none"),
    "own": Adapter(own.find, own.LAYOUT, encoding_is_free=True),
}


def adapter_of(kind: str) -> Adapter:
    """Return the adapter of a name, of this package or an installed plug-in.

    Raises:
        UsageError: There is none.
        UserError: A plug-in that brings something else.
    """
    if kind in ADAPTERS:
        return ADAPTERS[kind]
    adapter = load_plugin(CENTRES, kind)
    if adapter is None:
        known = ", ".join([*ADAPTERS, *plugin_names(CENTRES)])
        raise UsageError(f"the kind must be one of {known}; got {kind!r}")
    if not isinstance(adapter, Adapter):
        raise UserError(
            f"{kind} of {CENTRES} must be a tvseg.data.prepare.adapters.Adapter, got "
            f"{type(adapter).__name__}"
        )
    return adapter
