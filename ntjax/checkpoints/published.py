"""The published Nucleotide Transformers, by the names of the official package."""

import difflib

from ntjax.checkpoints import mini
from ntjax.errors import UserError

# Repositories on the Hugging Face Hub. On disk: 1.94 GB for 500M, 10.19 GB for 2.5B.
PUBLISHED: dict[str, str] = {
    "500M_human_ref": "InstaDeepAI/nucleotide-transformer-500m-human-ref",
    "500M_1000G": "InstaDeepAI/nucleotide-transformer-500m-1000g",
    "2B5_1000G": "InstaDeepAI/nucleotide-transformer-2.5b-1000g",
    "2B5_multi_species": "InstaDeepAI/nucleotide-transformer-2.5b-multi-species",
    "50M_multi_species_v2": "InstaDeepAI/nucleotide-transformer-v2-50m-multi-species",
    "100M_multi_species_v2": "InstaDeepAI/nucleotide-transformer-v2-100m-multi-species",
    "250M_multi_species_v2": "InstaDeepAI/nucleotide-transformer-v2-250m-multi-species",
    "500M_multi_species_v2": "InstaDeepAI/nucleotide-transformer-v2-500m-multi-species",
    "1B_agro_nt": "InstaDeepAI/agro-nucleotide-transformer-1b",
    "codon_nt": "InstaDeepAI/nucleotide-transformer-v2-50m-3mer-multi-species",
    "50M_3mer_multi_species_v2": "InstaDeepAI/nucleotide-transformer-v2-50m-3mer-multi-species",
}


def unknown_model(name: str) -> UserError:
    """The error for a name that is neither published, bundled, nor a folder.

    >>> print(str(unknown_model("500m_1000g")).partition(" known")[0])
    no model or folder is called '500m_1000g'; did you mean '500M_1000G'?
    """
    names = [*PUBLISHED, *mini.NAMES]
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.4)
    hint = f"did you mean '{lower[near[0]]}'? " if near else ""
    return UserError(
        f"no model or folder is called '{name}'; {hint}known names: {', '.join(names)}; "
        "or give a folder that holds jax_model/hyperparams.json and jax_model/pytree_ckpt.joblib, "
        "or an ESM model of Hugging Face transformers"
    )
