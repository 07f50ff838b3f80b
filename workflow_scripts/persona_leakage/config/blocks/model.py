"""The block ``model``: which base model is studied."""

import re
from typing import Literal

from pydantic import Field, model_validator

from persona_leakage.config.blocks.fields import Block, Slug, Text, refuse


class Model(Block):
    """The base model."""

    name: Slug = Field(description="Folder under resources/models/.")
    source: Literal["bundled", "hub", "path"] = Field(description="A GGUF file in a package, a Hugging Face repository, or a folder.")
    location: Text = Field(description="bundled: package/file; hub: owner/repository; path: the folder.")
    revision: str | None = Field(
        None,
        description="bundled: SHA-256 of the file; hub: commit (40 hex digits); path: free text, or null for a digest.",
    )

    @model_validator(mode="after")
    def check_revision(self):
        """A bundled or hub model must be pinned."""
        revision = self.revision or ""
        if self.source == "bundled" and ("/" not in self.location or not re.fullmatch("[0-9a-f]{64}", revision)):
            refuse("revision", f"{revision!r}: source bundled needs the file's SHA-256 (64 hex digits) here, and location: package/file")
        if self.source == "hub" and (self.location.count("/") != 1 or not re.fullmatch("[0-9a-f]{40}", revision)):
            refuse("revision", f"{revision!r} must be a commit (40 hex digits) of a hub repository such as Qwen/Qwen2.5-7B-Instruct")
        return self
