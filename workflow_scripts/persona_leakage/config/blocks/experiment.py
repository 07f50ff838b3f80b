"""A whole config: one experiment."""

from pydantic import Field

from persona_leakage.config.blocks.analysis import Analysis
from persona_leakage.config.blocks.behaviour import DEFAULT_KIND, KINDS, Behaviour
from persona_leakage.config.blocks.engine import Engine
from persona_leakage.config.blocks.evaluation import Evaluation
from persona_leakage.config.blocks.fields import Block, Seed, Slug, Text
from persona_leakage.config.blocks.geometry import Geometry
from persona_leakage.config.blocks.model import Model
from persona_leakage.config.blocks.personas import Personas
from persona_leakage.config.blocks.publishing import Compared, Publishing
from persona_leakage.config.blocks.questions import Questions
from persona_leakage.config.blocks.training import Training
from persona_leakage.config.blocks.training_data import Labels, TrainingData


class Experiment(Block):
    """One experiment: one config, one folder under results/."""

    experiment: Slug = Field(description="Folder under results/.")
    seed: Seed = Field(42, description="Base seed for sampling and the choice of negatives.")
    model: Model = Field(description="The base model.")
    personas: Personas = Field(description="Who is trained and who is measured.")
    questions: Questions = Field(Questions(), description="Which questions are asked.")
    behaviour: Behaviour = Field(KINDS[DEFAULT_KIND](), description="What the adapters learn.")
    training_data: TrainingData = Field(TrainingData(), description="The rows that an adapter is trained on.")
    labels: Labels = Field(Labels(), description="Which tokens of a row are trained.")
    training: Training = Field(Training(), description="How the adapters are trained.")
    evaluation: Evaluation = Field(Evaluation(), description="The replies that leakage is measured on.")
    engine: Engine = Field(Engine(), description="What samples the training answers and the replies.")
    geometry: Geometry = Field(Geometry(), description="Which hidden states are taken.")
    analysis: Analysis = Field(Analysis(), description="The statistics.")
    compare: Compared = Field("all", description="Result folders that make compare reads.")
    predict_from: Text | None = Field(None, description="Results folder of a finished study that make predict calibrates on.")
    publishing: Publishing = Field(Publishing(), description="Where finished results go when the targets wandb and hub ask for it.")
