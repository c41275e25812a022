import pytest

from ntjax.checkpoints.published import PUBLISHED, unknown_model

# The official package's names and the repositories on huggingface.co/InstaDeepAI.
OFFICIAL = {
    "500M_human_ref": "nucleotide-transformer-500m-human-ref",
    "500M_1000G": "nucleotide-transformer-500m-1000g",
    "2B5_1000G": "nucleotide-transformer-2.5b-1000g",
    "2B5_multi_species": "nucleotide-transformer-2.5b-multi-species",
    "50M_multi_species_v2": "nucleotide-transformer-v2-50m-multi-species",
    "100M_multi_species_v2": "nucleotide-transformer-v2-100m-multi-species",
    "250M_multi_species_v2": "nucleotide-transformer-v2-250m-multi-species",
    "500M_multi_species_v2": "nucleotide-transformer-v2-500m-multi-species",
    "1B_agro_nt": "agro-nucleotide-transformer-1b",
    "codon_nt": "nucleotide-transformer-v2-50m-3mer-multi-species",
    "50M_3mer_multi_species_v2": "nucleotide-transformer-v2-50m-3mer-multi-species",
}


def test_all_ten_published_models_are_known_and_one_by_both_its_names():
    assert {name: f"InstaDeepAI/{path}" for name, path in OFFICIAL.items()} == PUBLISHED
    assert len(set(PUBLISHED.values())) == 10
    assert PUBLISHED["codon_nt"] == PUBLISHED["50M_3mer_multi_species_v2"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2B5_multispecies", "2B5_multi_species"),
        ("500m_1000g", "500M_1000G"),
        ("500M_human", "500M_human_ref"),
        ("500M_multi_species_V2", "500M_multi_species_v2"),
        ("agro_nt", "1B_agro_nt"),
        ("codon-nt", "codon_nt"),
        ("Mini", "mini"),
    ],
)
def test_the_nearest_name_is_suggested(typed, meant):
    assert f"did you mean '{meant}'?" in str(unknown_model(typed))


def test_a_name_like_no_other_gets_the_list():
    message = str(unknown_model("/data/zzz"))
    assert "did you mean" not in message
    assert all(name in message for name in [*OFFICIAL, "mini"])
    assert "\n" not in message
