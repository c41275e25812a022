"""The promoter study: every experiment and figure of the report, measured again.

python -m experiments.promoters                     # reduced: about half an hour on two CPU cores
python -m experiments.promoters --full              # hours
python -m experiments.promoters --sections comparison

Tables, figures and one page with all of them go to reduced/ (or full/) beside this file; runs are
kept below runs/ and picked up where they stopped. Data are read from NTJAX_DATA_DIR.
"""

from experiments.promoters import (
    calibration,
    comparison,
    curated,
    embeddings,
    leakage,
    ledger,
    methods,
    negatives,
    other_species,
    salience,
    scan,
    stages,
    sweeps,
)
from experiments.promoters.genome_files import find_genome
from experiments.promoters.page import Chapter, write_page
from experiments.promoters.study import Study, require_same_runs, result_of
from ntjax import command_line
from ntjax.errors import UserError

_IN_ORDER = (
    comparison,
    leakage,
    sweeps,
    stages,
    curated,
    other_species,
    methods,
    negatives,
    calibration,
    embeddings,
    salience,
    scan,
)
SECTIONS = {section.NAME: section for section in _IN_ORDER}
_INTRODUCTION = (
    "Promoters of *E. coli* with an adapted Nucleotide Transformer: the experiments of a report "
    "(M. Nagyal, 2024), repeated with what it left open: overlap of training and test, seeds, "
    "intervals, other negatives, and simpler models beside it."
)


def main() -> None:
    """The command."""
    command_line.run(lambda: run(command_line.parse(Study, "experiments.promoters", __doc__ or "")))


def run(study: Study) -> None:
    """Run what is missing of the sections, then write the page of all that are there."""
    if unknown := [name for name in study.sections if name not in SECTIONS]:
        raise UserError(f"--sections {' '.join(unknown)}: there are {', '.join(SECTIONS)}")
    require_same_runs(study, find_genome(study.genome))
    for name in study.sections or SECTIONS:
        print(f"== {SECTIONS[name].TITLE}", flush=True)
        SECTIONS[name].run(study)
    ledger.run(study)
    chapters = []
    for section in (ledger, *_IN_ORDER):
        name = section.NAME
        if (record := result_of(study, name)) is not None:
            command = f"python -m experiments.promoters --sections {name}"
            command += " --full" * study.full
            blocks = section.blocks(record, study.out_folder)
            chapters.append(Chapter(section.TITLE, command, blocks))
    write_page(study.out_folder, "E. coli promoters", _INTRODUCTION, chapters)
    print(f"page: {study.out_folder / 'report.html'}")


if __name__ == "__main__":
    main()
