"""Programs that a model wrote, run in a sandbox and tested from outside it."""

from sharpen.verifiers.code.answers import code_of, program_of
from sharpen.verifiers.code.examination import Examination, examine
from sharpen.verifiers.code.suites import Suite, need_tests, suite_of
from sharpen.verifiers.code.verifier import code

__all__ = ["Examination", "Suite", "code", "code_of", "examine", "need_tests", "program_of", "suite_of"]
