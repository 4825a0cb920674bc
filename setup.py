"""Compiles the hot path (see ocs/native/README.md); all else about the package stands in pyproject.toml.

OCS_COMPILE=0, or a build apart from the installed libraries (mypyc has to see their types), leaves it as it is: the same program,
interpreted. `make install` and the Dockerfile build with them.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
LOOKUPS = '#include "ocs/native/lookups.h"\n'
GLOBAL = re.compile(
    r"(cpy_r_r\d+ = CPyStatic_\w+___globals;\n\s+cpy_r_r\d+ = CPyStatics\[\d+\];[^\n]*\n\s+cpy_r_r\d+ = )CPyDict_GetItem\("
)


class ParallelBuild(build_ext):
    """The generated files are many, and each is compiled by itself."""

    def build_extensions(self) -> None:
        compiler: Any = self.compiler
        compile_some = compiler.compile

        def compile_all(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return [each for some in pool.map(lambda one: compile_some([one], **options), sources) for each in some]

        compiler.compile = compile_all
        super().build_extensions()


def extensions() -> list[Extension]:
    if os.environ.get("OCS_COMPILE", "1") == "0" or not all(map(find_spec, ("mypyc", "msgspec"))):
        return []
    from mypyc.build import mypycify

    names = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ocs"]["compiled"]
    found = mypycify(names, opt_level="2", debug_level="0", multi_file=True, group_name="ocs.native.hot")
    for extension in found:
        extension.extra_compile_args = ["-O2", "-g0", "-w"]
        extension.include_dirs += [str(ROOT), "build/ocs/native"]
        for source in map(Path, extension.sources):
            if source.name.startswith("__native"):
                _remember_lookups(source)
    by_hand = [Extension("ocs.native.heap", ["ocs/native/heap.c"])]
    if sys.platform == "linux":
        by_hand.append(Extension("ocs.native.udp", ["ocs/native/udp.c"]))
    return [*found, *by_hand]


def _remember_lookups(source: Path) -> None:
    """Have the generated code use what lookups.h has for it."""
    text = source.read_text()
    if LOOKUPS not in text:
        after = text.index("\n", text.rindex("#include")) + 1
        source.write_text(text[:after] + LOOKUPS + GLOBAL.sub(r"\1OCS_GLOBAL(", text[after:]))


setup(ext_modules=extensions(), cmdclass={"build_ext": ParallelBuild})
