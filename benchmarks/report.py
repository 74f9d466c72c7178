"""Fill the tables of the README, of ``docs/results.md`` and of the cards of pre-trained streams.

They come from the JSON files in ``results/``.

python benchmarks/report.py
"""

from pathlib import Path

from report_compositions import (
    MODELS,
    ablations,
    coverage,
    implicit_members,
    matbench_rows,
    pretraining,
    threads,
)
from report_files import read
from report_potentials import cost, derivatives, errors
from report_pretraining import (
    KINDS,
    card,
    few_labels,
    objectives,
    objectives_trained_on,
    rates,
    transfer,
)
from report_retrieval import index, probes, retrieval, spectra
from report_speed import batched_trials, training_speed
from report_structures import (
    sensor_ablation,
    sensor_cost,
    sensors,
    stream_ablation,
    structures,
    training_steps,
    validation,
)

HERE = Path(__file__).parent
README, DETAILS = HERE.parent / "README.md", HERE.parent / "docs" / "results.md"
CARDS = HERE.parent / "trisk" / "data"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def table():
    """The section of the README."""
    return "\n".join(
        [
            "Official Matbench folds, mean ± standard deviation over the five test folds, all",
            "models in one run on the same rows (`python benchmarks/matbench.py all`; seconds on",
            f"{threads()}, two tasks side by side and other work beside them; the column networks",
            "gives the members of an ensemble, with `--members 4` for four):",
            "",
            (
                f"| task (rows) | score | {' | '.join(MODELS)} | best of three untuned forests "
                "| with companion minus forest, by fold | networks "
                "| seconds of five folds, without and with companion |"
            ),
            f"|---|---|{'---|' * len(MODELS)}---|---|---|---|",
            *matbench_rows(),
            *structures(),
            *few_labels(),
            *sensors(),
        ]
    )


def details():
    """What the README has no room for."""
    speed = read("featurization_speed")
    magpie = speed["magpie_against_matminer"]
    return "\n".join(
        [
            "# Further results",
            "",
            "`python benchmarks/report.py` writes this page, as it does the tables of the README,",
            "from the JSON files in `benchmarks/results/`.",
            "",
            "## Formulas",
            *pretraining(),
            *coverage(),
            *ablations(),
            *implicit_members(),
            "",
            "## Crystals",
            *validation(),
            *stream_ablation(),
            *sensor_ablation(),
            *sensor_cost(),
            "",
            "## Speed",
            "",
            (
                "Magpie descriptors of 5,000 formulas, one process "
                "(`python benchmarks/featurization_speed.py`): "
                f"{magpie['trisk_per_s']:,.0f} formulas/s, "
                f"{magpie['ratio_from_strings']:,.0f} times matminer's rate in the same run; "
                f"largest difference in value {magpie['largest_difference']:.0e}."
            ),
            *training_speed(),
            *training_steps(),
            *batched_trials(),
            *spectra(),
            "",
            "## Potentials",
            *derivatives(),
            *cost(),
            *errors(),
            "",
            "## Pre-training on structures",
            *transfer(),
            *rates(),
            *objectives(),
            *objectives_trained_on(),
            "",
            "## Retrieval and embeddings",
            *retrieval(),
            *index(),
            *probes(),
            "",
        ]
    )


def fill(path, lines):
    """Put a table between the marks of a page."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{lines}\n{END}{after}")


def main():
    """Write all pages anew."""
    fill(README, table())
    fill(CARDS / "triforces_default.md", card(KINDS, left_out="sensors"))
    fill(CARDS / "triforces_sensors.md", card(["pretraining_fine_tuning"], left_out="supervised"))
    DETAILS.write_text(details())
    print(table())


if __name__ == "__main__":
    main()
