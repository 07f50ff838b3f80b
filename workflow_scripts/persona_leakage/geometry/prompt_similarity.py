"""How alike the personas' prompts are worded: baseline predictors that need no model."""

from sklearn.feature_extraction.text import TfidfVectorizer

from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.cli import InputError, named_in_errors

# scikit-learn's own words of two letters and more; letters with their neighbours inside words, as spelling shows family
KINDS = {
    "word_similarity": {"analyzer": "word", "ngram_range": (1, 1)},
    "char_similarity": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}


def text_similarities(prompts):
    """{column: [personas, personas]}: cosines of TF-IDF vectors of the prompts, in [0, 1], weights from these prompts alone."""
    found = {}
    for column, options in KINDS.items():
        vectors = TfidfVectorizer(lowercase=True, sublinear_tf=True, **options).fit_transform(prompts)
        found[column] = (vectors @ vectors.T).toarray().clip(0, 1)
    return found


def embedding_similarities(folder, texts):
    """Cosines [texts, texts] between mean-pooled last hidden states, in float32 on the CPU.

    folder: a transformers encoder with its tokenizer, of a kind that is meant to be mean-pooled (as all-MiniLM-L6-v2 is)
    and needs no prefix.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from persona_leakage.models.loading import check_all_loaded, quiet_transformers
    from persona_leakage.models.model_files import check_model_folder

    check_model_folder(folder, "analysis.embedding_model")
    with named_in_errors(f"analysis.embedding_model: {folder}"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    options = {"local_files_only": True, "dtype": torch.float32, "use_safetensors": True, "trust_remote_code": False}
    with named_in_errors(f"analysis.embedding_model: {folder}"), quiet_transformers():
        model, loading = AutoModel.from_pretrained(folder, **options, output_loading_info=True)
    # A checkpoint may have an output layer that an encoder does not use.
    check_all_loaded(folder, {**loading, "unexpected_keys": []})
    model = model.eval()
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    if not states.isfinite().all():
        raise InputError(f"analysis.embedding_model: {folder}: embeddings are not finite (NaN or infinite); copy the model again")
    return cosine_matrix(((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy(), centred=False)
