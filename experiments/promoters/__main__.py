"""The promoter study: every experiment and figure of the report, measured again.

python -m experiments.promoters                     # reduced: about half an hour on two CPU cores
python -m experiments.promoters --full              # hours: about 4.4 of a core with mini
python -m experiments.promoters --sections comparison

Tables, figures and one page with all of them go to runs/promoters-MODEL-reduced/report (or -full),
beside the runs, which are kept and picked up where they stopped. Data are read from NTJAX_DATA_DIR.
What stands beside this file in reduced/ and full/ was written with --out.
"""

from importlib.util import find_spec

from experiments.promoters.study import Study
from ntjax.errors import UserError
from ntjax.reports import command_line

_DRAWS_WITH = ("matplotlib", "logomaker")
_PROJECTS_WITH, _PROJECTING = "pacmap", "embeddings"


def main() -> None:
    """The command."""
    command_line.run(_run)


def _run() -> None:
    study = command_line.parse(Study, "experiments.promoters", __doc__ or "")
    needed = list(_DRAWS_WITH)
    if not study.sections or _PROJECTING in study.sections:
        needed.append(_PROJECTS_WITH)
    if missing := [name for name in needed if find_spec(name) is None]:
        raise UserError(f"not installed: {', '.join(missing)}; pip install '.[study]'")
    from experiments.promoters.sections.registry import (
        run,  # its pictures need what was just looked for,
    )

    run(study)


if __name__ == "__main__":
    main()
