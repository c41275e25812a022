"""The published Nucleotide Transformers, by the names of the official package."""

import difflib
from dataclasses import dataclass

from ntjax.errors import UserError


@dataclass(frozen=True)
class PublishedModel:
    """Where a published checkpoint lies, and what it costs to fetch.

    `parameters` and `gigabytes` are approximate and serve only to warn before a download.
    """

    repository: str
    parameters: str
    gigabytes: float
    revision: str = "main"


def _model(repository: str, parameters: str, gigabytes: float) -> PublishedModel:
    return PublishedModel(f"InstaDeepAI/{repository}", parameters, gigabytes)


PUBLISHED: dict[str, PublishedModel] = {
    "500M_human_ref": _model("nucleotide-transformer-500m-human-ref", "500M", 1.94),
    "500M_1000G": _model("nucleotide-transformer-500m-1000g", "500M", 1.94),
    "2B5_1000G": _model("nucleotide-transformer-2.5b-1000g", "2.5B", 10.19),
    "2B5_multi_species": _model("nucleotide-transformer-2.5b-multi-species", "2.5B", 10.19),
    "50M_multi_species_v2": _model("nucleotide-transformer-v2-50m-multi-species", "50M", 0.2),
    "100M_multi_species_v2": _model("nucleotide-transformer-v2-100m-multi-species", "100M", 0.4),
    "250M_multi_species_v2": _model("nucleotide-transformer-v2-250m-multi-species", "250M", 1.0),
    "500M_multi_species_v2": _model("nucleotide-transformer-v2-500m-multi-species", "500M", 2.0),
    "1B_agro_nt": _model("agro-nucleotide-transformer-1b", "1B", 4.0),
    "codon_nt": _model("nucleotide-transformer-v2-50m-3mer-multi-species", "50M", 0.2),
}


def unknown_model(name: str) -> UserError:
    """The error for a name that is neither published, bundled, nor a folder."""
    names = [*PUBLISHED, "mini"]
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.4)
    hint = f"did you mean '{lower[near[0]]}'? " if near else ""
    return UserError(
        f"no model or folder is called '{name}'; {hint}known names: {', '.join(names)}; "
        "or give a folder that holds jax_model/hyperparams.json and jax_model/pytree_ckpt.joblib"
    )
