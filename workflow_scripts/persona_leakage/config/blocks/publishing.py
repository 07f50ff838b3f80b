"""The blocks ``compare`` and ``publishing``: what happens to finished results. They decide no result."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from persona_leakage.config.blocks.fields import ACCOUNT, PROJECT, SLUG, Block, Text, check_unique, entries, form

Folders = Annotated[list[Text], entries(1), AfterValidator(check_unique)]
Compared = Annotated[Folders | Literal["all"], form("the word all or a list of folders")]
Account = Annotated[str, Field(pattern=ACCOUNT)]


class Wandb(Block):
    """Weights & Biases."""

    project: Annotated[str, Field(pattern=PROJECT)] = Field("persona-leakage", description="Project.")
    entity: Account | None = Field(None, description="User or team; null: the key's owner.")
    mode: Literal["offline", "online"] = Field("offline", description="offline: upload later with wandb sync.")


class Hub(Block):
    """The Hugging Face hub."""

    owner: Account | None = Field(None, description="User or organization; null publishes nothing.")
    private: bool = Field(True, description="Create private repositories; reject public ones.")
    license: Annotated[str, Field(pattern=SLUG)] | None = Field(None, description="License in the hub's spelling, such as apache-2.0.")


class Publishing(Block):
    """Where finished results go."""

    wandb: Wandb = Field(Wandb(), description="For the target wandb.")
    hub: Hub = Field(Hub(), description="For the target hub.")
