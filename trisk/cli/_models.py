"""A folder that holds a model and what is known about it."""

import json
from pathlib import Path

from trisk.cli._errors import CommandError

_MODEL, _FACTS = "model.trisk", "model.json"


def write_model(folder, model, facts):
    """Write a fitted model and the facts about it.

    Parameters
    ----------
    folder : pathlib.Path
        The folder, which exists.
    model : estimator
        Fitted.
    facts : dict
        What JSON can hold.
    """
    from trisk.persistence import save

    save(model, folder / _MODEL)
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    (folder / _FACTS).write_text(text + "\n", encoding="utf-8")


def holds_model(folder):
    """Whether a folder holds a model.

    Parameters
    ----------
    folder : pathlib.Path
        Any folder, which need not exist.

    Returns
    -------
    held : bool
        Whether it does.
    """
    return (folder / _FACTS).is_file()


def read_facts(folder):
    """Read the facts about a model.

    Parameters
    ----------
    folder : str or path-like
        Folder of the model.

    Returns
    -------
    facts : dict
        As :func:`write_model` took them.

    Raises
    ------
    CommandError
        If there are none.
    """
    path = Path(folder) / _FACTS
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CommandError(
            f"{str(folder)!r} holds no model. 'trisk fit … --out {folder}' makes one."
        ) from None
    except (OSError, ValueError) as error:
        raise CommandError(f"{str(path)!r} cannot be read: {error}") from error


def read_model(folder):
    """Load a model.

    Parameters
    ----------
    folder : str or path-like
        Its folder.

    Returns
    -------
    model : estimator
        Fitted.

    Raises
    ------
    CommandError
        If the file is absent.
    """
    from trisk.persistence import load

    try:
        return load(Path(folder) / _MODEL)
    except FileNotFoundError as error:
        raise CommandError(str(error)) from error
