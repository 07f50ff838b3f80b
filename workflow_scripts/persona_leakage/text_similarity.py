"""How alike the personas' prompts are worded: rivals of the geometry that need no model."""

from sklearn.feature_extraction.text import TfidfVectorizer

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
