"""How a program tells its user about a mistake: one line, exit code 1, no traceback."""

import sys


class InputError(ValueError):
    """Something the user gave is wrong: a config value, a resource file, an option, a missing model.

    The message names the key or file, the value found and what is allowed.
    """


def run_program(main):
    """Call ``main(argv)`` as a command line program and end the process with its exit code.

    An :class:`InputError` becomes one line on stderr and exit code 1; any other exception is a
    defect and keeps its traceback. argparse itself ends with code 2 on bad options.
    """
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {error}")
