"""Parses the command line; every command is loaded when it is called."""

import argparse
import importlib
import sys

from trisk.cli._files import CommandError

_CODES = """exit codes:
  0    done
  1    data or files that cannot be used; the message names row and value
  2    a command line that cannot be understood
  130  interrupted
"""
_PRESETS = """presets (columns and settings; how each was chosen is in the documentation):
  auto           chooses columns by what a forest finds in the training rows
  general        Magpie statistics
  steels         element fractions and their logarithms
  band_gap       all descriptors, for targets of which many are zero
  exfoliation    Magpie statistics
  metallicity    all descriptors, a classification
  glass          all descriptors, a classification
  published_steels, published_band_gap, published_metallicity, published_glass,
  published_exfoliation  columns, network and training of the TRIADS paper

"""
_EXAMPLES = {
    "fit": """examples:
  trisk fit alloys.csv --target "yield strength [MPa]" --cv 5 --out model/
  trisk fit alloys.xlsx --formula alloy --target hardness --process temperature route --out model/
  trisk fit glasses.csv --formula alloy --target glassy --leave-out chemical_system --out model/
  trisk fit gaps.csv --formula formula --target gap --fast --trials 30 --out model/
  trisk fit cifs/ --targets energies.csv --target "energy [eV]" --cv 5 --out model/
""",
    "predict": """examples:
  trisk predict model/ new.csv --out predicted.csv
  trisk predict model/ new.csv --material alloy > predicted.csv
  trisk predict model/ more_cifs/ --out predicted.csv
""",
    "report": """examples:
  trisk report model/
  trisk report model/ --out report.html
""",
}


def main(arguments=None):
    """Run one command, of the process's command line if None is given; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        importlib.import_module(f"trisk.cli._{options.command}").run(options)
    except (CommandError, OSError, ValueError) as error:
        print(f"trisk {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="trisk",
        description="Predict properties of materials from formulas or crystal structures.",
        epilog=f"'trisk COMMAND --help' explains each command with examples.\n\n{_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    from trisk import __version__

    parser.add_argument("--version", action="version", version=f"trisk {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_fit, _add_predict, _add_report):
        add(commands)
    return parser


def _add(commands, name, description):
    return commands.add_parser(
        name,
        help=description[0].lower() + description[1:],
        description=f"{description}.",
        epilog=f"{_EXAMPLES[name]}\n{_PRESETS if name == 'fit' else ''}{_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_fit(commands):
    fit = _add(commands, "fit", "Fit a model to a table of formulas or crystals and a property")
    fit.add_argument(
        "table",
        help="CSV file (may be compressed) or Excel file with a header line, or a folder of "
        "structure files",
    )
    material = fit.add_mutually_exclusive_group()
    material.add_argument(
        "--formula",
        metavar="COLUMN",
        help="column of formulas (default: the one that holds some); at%% or wt%%: a column for "
        "each element",
    )
    material.add_argument(
        "--structure",
        metavar="COLUMN",
        help="column of structures: files beside the table or in the folder, or texts of CIFs "
        "(default for a folder: the first column)",
    )
    fit.add_argument("--targets", metavar="FILE", help="table that goes with a folder")
    fit.add_argument(
        "--target", metavar="COLUMN", help="column to predict (default: the only other one)"
    )
    fit.add_argument("--out", required=True, metavar="FOLDER", help="where the model goes")
    fit.add_argument(
        "--process",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns beside the formula or structure, such as temperatures; cells may be empty",
    )
    fit.add_argument("--unit", help="unit of the target (default: that in 'target [unit]')")
    fit.add_argument("--preset", default="auto", help="kind of task, see below (default: auto)")
    kind = fit.add_mutually_exclusive_group()
    kind.add_argument(
        "--classification",
        action="store_true",
        default=None,
        help="classes even if the target is a number; text, true/false and 0/1 always are",
    )
    kind.add_argument(
        "--regression",
        dest="classification",
        action="store_false",
        default=None,
        help="numbers even if the target is 0 or 1",
    )
    kinds = fit.add_mutually_exclusive_group()
    kinds.add_argument("--positive", action="store_true", help="learn the logarithm of the target")
    kinds.add_argument("--bounded", action="store_true", help="the target is a share from 0 to 1")
    folds = fit.add_mutually_exclusive_group()
    folds.add_argument(
        "--cv",
        type=_whole(2),
        metavar="N",
        help="validate on N shuffled folds first, a forest beside; equal formulas stay together",
    )
    folds.add_argument(
        "--leave-out",
        choices=["chemical_system", "element", "prototype", "kmeans"],
        help="validate on families of materials that training does not see",
    )
    fit.add_argument(
        "--trials",
        type=_whole(1),
        metavar="N",
        help="tune the model in N trials, within each fold too; an interrupted search is resumed "
        "by the same command",
    )
    fit.add_argument("--skip-bad-rows", action="store_true", help="leave out unusable rows")
    fit.add_argument("--overwrite", action="store_true", help="replace a model in the folder")
    fit.add_argument("--fast", action="store_true", help="the bare network: none of the three")
    fit.add_argument("--no-stacking", action="store_true", help="no forest in the model")
    fit.add_argument("--no-calibration", action="store_true", help="spreads as they are")
    fit.add_argument("--no-pretraining", action="store_true", help="no pre-trained columns")
    fit.add_argument("--members", type=_whole(1), metavar="N", help="networks per ensemble")
    fit.add_argument("--epochs", type=_whole(1), metavar="N", help="epochs of training")
    fit.add_argument("--device", default="auto", help="torch device (default: auto)")
    fit.add_argument("--seed", type=_whole(0), default=0, help="random seed (default: 0)")
    fit.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_predict(commands):
    predict = _add(commands, "predict", "Predict a property of the materials of a table")
    predict.add_argument("model", help="folder that 'trisk fit' wrote")
    predict.add_argument(
        "table", help="CSV or Excel file with a column of materials, or a folder of structure files"
    )
    predict.add_argument(
        "--material",
        "--formula",
        metavar="COLUMN",
        help="column of formulas or structures, if not named as in training",
    )
    predict.add_argument("--out", metavar="FILE", help="CSV file to write (default: the screen)")
    predict.add_argument(
        "--skip-bad-rows", action="store_true", help="leave unusable rows without a prediction"
    )


def _add_report(commands):
    report = _add(commands, "report", "Write one self-contained page about a model")
    report.add_argument("model", help="folder that 'trisk fit' wrote")
    report.add_argument(
        "--out", metavar="FILE", help="HTML file (default: report.html in the folder)"
    )


def _whole(least):
    """Type of a whole number, from the least one on and within 32 bits."""

    def read(text):
        if not text.isdigit() or not least <= int(text) < 2**32:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return read
