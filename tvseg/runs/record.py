"""``run.json``: what a run was made of and how it ended, written as a whole at each change."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tvseg.documents import check_tree
from tvseg.errors import UserError
from tvseg.files import read_json, write_json


@dataclass(frozen=True)
class RunRecord:
    """The ``run.json`` of a folder.

    Args:
        folder: The folder that it describes.
        model: Its keys and their types.
        remedy: What to do if it is damaged, for the message.
    """

    folder: Path
    model: type[BaseModel]
    remedy: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "run.json"

    def read(self) -> dict[str, Any]:
        """Return the content.

        Raises:
            UserError: The file is missing, damaged, or lacks a key.
        """
        if not self.path.is_file():
            raise UserError(f"{self.folder} must be a run folder, but has no run.json")
        try:
            content: dict[str, Any] = read_json(self.path)
            check_tree(self.model, content, self.path)
        except UserError as error:
            raise UserError(f"{error}; {self.remedy}") from error
        return content

    def update(self, **changes: Any) -> None:
        """Change some keys, or write the first ones."""
        write_json(self.path, (self.read() if self.path.exists() else {}) | changes)

    def check_same(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Raise UserError unless a run that is resumed has the values that it began with."""
        now = json.loads(json.dumps(now))  # as it is read back: tuples are lists
        for key in sorted(now.keys() | before.keys()):
            if before.get(key) != now.get(key):
                raise UserError(
                    f"cannot resume {self.folder}: {key} changed from {before.get(key)} to "
                    f"{now.get(key)}; give the former value or another folder"
                )
