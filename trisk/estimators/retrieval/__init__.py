"""Similar crystals by their embeddings."""

from trisk.estimators.retrieval._retriever import StructureRetriever

__all__ = ["StructureRetriever"]
