# SPDX-License-Identifier: BSD-3-Clause
"""Python's unittest, with the report of GoogleTest that devtools/run-unit-tests counts cases by."""

import os
import unittest
import xml.etree.ElementTree as ElementTree


class Result(unittest.TextTestResult):
    """Also writes down what became of each case."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.report = ElementTree.Element("testsuite")
        self.case = self.report

    def startTest(self, test):
        super().startTest(test)
        suite, name = test.id().split(".")[-2:]
        self.case = ElementTree.SubElement(
            self.report, "testcase", classname=suite, name=name, status="run"
        )

    def addFailure(self, test, err):
        super().addFailure(test, err)
        ElementTree.SubElement(self.case, "failure")

    def addError(self, test, err):
        super().addError(test, err)
        ElementTree.SubElement(self.case, "failure")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            ElementTree.SubElement(self.case, "failure")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        ElementTree.SubElement(self.case, "skipped", message=reason)


def main() -> bool:
    """Runs the cases of the calling program and writes the report that GTEST_OUTPUT asks for."""
    runner = unittest.TextTestRunner(resultclass=Result)
    result = unittest.main(testRunner=runner, exit=False).result
    output = os.environ.get("GTEST_OUTPUT", "")
    if output.startswith("xml:"):
        ElementTree.ElementTree(result.report).write(output.removeprefix("xml:"))
    return result.wasSuccessful()
