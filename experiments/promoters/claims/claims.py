"""What the report claims, and what finds whether it holds."""

from experiments.promoters.claims import of_contests, of_models, of_rows
from experiments.promoters.claims.findings import Claim
from experiments.promoters.claims.of_contests import PASSES

CLAIMS = (
    Claim("a transformer outperforms convolutional networks", (PASSES,), of_contests.beats_cnn),
    Claim("transfer learning improves the prediction", (PASSES,), of_contests.transfer),
    Claim("LoRA performs as well as training all weights", (PASSES,), of_contests.lora_as_full),
    Claim("the test set is distinct from the training data", ("leakage",), of_rows.distinct),
    Claim(
        "the negatives have nucleotide distributions similar to the promoters'",
        ("leakage", "methods"),
        of_rows.alike_negatives,
    ),
    Claim("*E. coli* is 6.7% of the training set", ("stages",), of_rows.share_of_coli),
    Claim("500M-1000G outperforms two of the three best tools", (), of_contests.two_of_three),
    Claim(
        "500M-1000G is best on the test, before models five times its size",
        (),
        of_contests.best_model,
    ),
    Claim(
        "transformers are more specific than the benchmarked tools",
        ("comparison",),
        of_contests.specific,
    ),
    Claim("the best LoRA dropout is 0.4", ("sweeps",), of_contests.dropout),
    Claim("LoRA dropout as in its reference", (), of_contests.dropout_as_cited),
    Claim("that dropout 0.4 is best indicates overfitting", (PASSES,), of_contests.overfitting),
    Claim("10,000 steps are better than 1,000", ("stages",), of_rows.more_steps),
    Claim(
        "a second stage on *E. coli* serves the classification", ("stages",), of_rows.second_stage
    ),
    Claim("accuracy 0.81, better than earlier benchmarks", ("leakage",), of_rows.best_accuracy),
    Claim("the model is well calibrated", ("calibration",), of_models.calibrated),
    Claim(
        "output embeddings are more separable than input ones", ("embeddings",), of_models.separable
    ),
    Claim(
        "it is not the presence of k-mers that tells the classes",
        ("embeddings",),
        of_models.not_kmers,
    ),
    Claim("attention weighs by cosine similarity", (), of_contests.cosine),
    Claim("the salience shows biologically relevant regions", ("salience",), of_models.salience),
    Claim("misclassified promoters", (PASSES,), of_contests.misclassified),
    Claim("outlook: curated promoters to train on", ("curated",), of_rows.curated),
    Claim("outlook: other species", ("other_species",), of_rows.other_species),
    Claim("outlook: promoters mapped along a genome", ("scan",), of_models.maps_a_genome),
)
