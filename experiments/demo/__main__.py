"""`python -m experiments.demo`."""

import sys

from experiments.cli.process import exit_code
from experiments.demo import main

sys.exit(exit_code(main))
