"""The prompts of a stage: every chosen persona with every chosen question, as token ids."""

from persona_leakage.config.selections import chosen_personas, chosen_questions
from persona_leakage.models.chat_template import control_ids, no_persona_ids, persona_span, prompt_ids, prompt_lengths
from persona_leakage.models.tokenizer_checks import PlainTokenizer, check_same_ids, check_texts


def build_prompts(tokenizer, personas_file, questions_file, settings):
    """[(persona name, question, prompt ids)], persona by persona; InputError if a persona's prompt is too short or long.

    settings: a :class:`Prompts` block. Questions are given without the suffix; prompts without a persona have their variant's name.
    """
    if settings.no_persona_prompts is not None:
        questions = chosen_questions(questions_file, settings.questions.model_dump())
        return [
            (variant, question, no_persona_ids(tokenizer, variant, question + settings.suffix))
            for variant in settings.no_persona_prompts
            for question in questions
        ]
    return [
        (persona.name, question, prompt_ids(tokenizer, persona.prompt, question + settings.suffix))
        for persona, question in chosen_pairs(tokenizer, personas_file, questions_file, settings)
    ]


def build_spanned_prompts(tokenizer, personas_file, questions_file, settings):
    """[(prompt ids, first, end)] of the same prompts in the same order, with the span of the persona's own words (see persona_span)."""
    if settings.no_persona_prompts is not None:  # no persona text to locate
        return [(ids, 0, 0) for _, _, ids in build_prompts(tokenizer, personas_file, questions_file, settings)]
    spanned = []
    for persona, question in chosen_pairs(tokenizer, personas_file, questions_file, settings):
        turns = (persona.prompt, question + settings.suffix)
        spanned.append((prompt_ids(tokenizer, *turns), *persona_span(tokenizer, *turns)))
    return spanned


def chosen_pairs(tokenizer, personas_file, questions_file, settings):
    """[(Persona, question)], persona by persona; InputError if a persona's prompt is too short or long."""
    personas = chosen_personas(personas_file, settings.personas.model_dump())
    questions = chosen_questions(questions_file, settings.questions.model_dump())
    prompt_lengths(tokenizer, personas)
    texts = [(f"personas.file, '{persona.name}'", persona.prompt) for persona in personas]
    asked = [("questions.file", question + settings.suffix) for question in questions]
    check_texts(tokenizer, [*texts, *asked], control_ids(tokenizer))
    check_same_ids(tokenizer, PlainTokenizer(tokenizer.name_or_path), [*texts, *asked])
    return [(persona, question) for persona in personas for question in questions]
