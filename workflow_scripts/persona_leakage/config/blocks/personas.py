"""The block ``personas``: who is trained and who is measured."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from persona_leakage.config.blocks.fields import Block, Line, Name, Names, check_unique, entries, form, refuse

NoPersonaPrompt = Literal["no_system", "empty_system"]


class PersonaEntry(Block):
    """A persona of the personas file or of ``personas.add``."""

    name: Name = Field(description="Unique name.")
    category: Name = Field(description="Group in the statistics.")
    related_to: Annotated[list[str], entries(), AfterValidator(check_unique)] = Field(description="Its relatives.")
    role: Name | None = Field(None, description="Role, shared by its paraphrases.")
    paraphrase: Name | None = Field(None, description="Which paraphrase of the role.")
    prompt: Line = Field(description="System prompt, 6 to 30 tokens.")

    @model_validator(mode="after")
    def check_role(self):
        """role and paraphrase come together or not at all."""
        if (self.role is None) != (self.paraphrase is None):
            missing, other = ("role", "paraphrase") if self.role is None else ("paraphrase", "role")
            refuse(missing, f"missing; a persona with {other} needs both keys")
        return self


class PanelExtension(Block):
    """Names that extend the panel of the config file before."""

    extend: Names = Field(description="Names to add to the panel.")


class Personas(Block):
    """The personas."""

    file: str = Field("resources/personas.yaml", description="Personas file.")
    add: list[PersonaEntry] = Field([], description="More personas; used only where a list names them.")
    sources: Names = Field(description="Personas to train; each must be in the panel.")
    no_persona_prompts: Annotated[list[NoPersonaPrompt], entries(), AfterValidator(check_unique)] = Field(
        [], description="Also measure prompts without a persona."
    )
    panel: Annotated[
        Names | Literal["all"] | PanelExtension,
        form("a list of unique persona names or the word all or extend: names to add to the panel of the config file before"),
    ] = Field(description="Personas to measure.")
