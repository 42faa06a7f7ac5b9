"""More than two hundred programs that mean harm, by what they try; each has to be refused within its limits.

Most families are made of a few parts. A program is hostile if it would read, write, reach or learn anything outside, or
take more than it may.
"""

from collections.abc import Mapping, Sequence

PLANTED = "planted-by-the-test"
"""A file's content and a variable's value that no answer may hold."""


def hostile_programs(file: str, port: int) -> Mapping[str, Sequence[str]]:
    """By family; `file` is one that could be read, `port` one where somebody listens."""
    folder = file.rpartition("/")[0]
    return {
        "files": _files(file, folder),
        "network": _network(port),
        "environment and processes": _environment(),
        "imports": _imports(),
        "walks from object to object": _walks(),
        "code from texts": _code(file),
        "memory": _memory(),
        "time": _time(),
        "depth": _depth(),
        "nesting of the parser": _nesting(),
        "signs": _signs(file),
        "endless output": _output(),
    }


def _files(file: str, folder: str) -> list[str]:
    return [
        f"open({file!r}).read()",
        f"open({file!r}, 'w').write('x')",
        f"open({folder!r} + '/new', 'x')",
        f"open({folder!r} + '/new', 'ab').write(b'x')",
        f"with open({file!r}) as f: x = f.read()\nx",
        f"list(open({file!r}))",
        f"import io; io.open({file!r}).read()",
        f"from pathlib import Path; Path({file!r}).read_text()",
        f"from pathlib import Path; Path({file!r}).write_text('x')",
        f"from pathlib import Path; Path({file!r}).unlink()",
        f"from pathlib import Path; list(Path({folder!r}).iterdir())",
        f"from pathlib import Path; Path({folder!r} + '/new').mkdir()",
        f"from pathlib import Path; Path({file!r}).stat()",
        f"from pathlib import Path; Path({file!r}).resolve().read_bytes()",
        f"from pathlib import Path; Path({file!r}).rename('/tmp/other')",
        f"import os; os.listdir({folder!r})",
        f"import os; os.remove({file!r})",
        f"import os; os.open({file!r}, 0)",
        f"import os; os.stat({file!r})",
        "open('/proc/self/environ').read()",
        "open('/proc/self/mem', 'rb').read()",
        "open('../../../../etc/passwd').read()",
        "open(0).read()",
        "import shutil; shutil.rmtree('/')",
        "import tempfile; tempfile.mkstemp()",
        "import sqlite3; sqlite3.connect('/tmp/a')",
        "__loader__.get_data('/etc/passwd')",
    ]


def _network(port: int) -> list[str]:
    place = f"'127.0.0.1', {port}"
    return [
        f"import socket; socket.create_connection(({place}))",
        f"import socket; s = socket.socket(); s.connect(({place}))",
        f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}')",
        f"from urllib.request import urlopen; urlopen('http://127.0.0.1:{port}').read()",
        f"import http.client; http.client.HTTPConnection({place}).request('GET', '/')",
        f"import requests; requests.get('http://127.0.0.1:{port}')",
        f"import asyncio; asyncio.run(asyncio.open_connection({place}))",
        f"import asyncio; asyncio.get_event_loop().create_connection(None, {place})",
        f"open('/dev/tcp/127.0.0.1/{port}')",
        f"import ssl; ssl.get_server_certificate(({place}))",
        f"import ftplib; ftplib.FTP().connect({place})",
        f"import xmlrpc.client; xmlrpc.client.ServerProxy('http://127.0.0.1:{port}').f()",
    ]


def _environment() -> list[str]:
    return [
        "import os; os.environ",
        "import os; dict(os.environ)",
        "import os; os.environ['PLANTED']",
        "import os; os.getenv('PLANTED')",
        "import os; os.system('true')",
        "import os; os.popen('id').read()",
        "import os; os.fork()",
        "import os; os.kill(os.getppid(), 9)",
        "import os; os.execv('/bin/sh', ('sh',))",
        "import os; os._exit(0)",
        "import os; os.urandom(8)",
        "import os; os.getpid()",
        "import subprocess; subprocess.run('id')",
        "import multiprocessing; multiprocessing.Process().start()",
        "import threading; threading.Thread(target=print).start()",
        "import signal; signal.raise_signal(9)",
        "import sys; sys.exit(1)",
        "import sys; sys.modules",
        "import sys; sys.path",
        "import sys; sys._getframe()",
        "import time; time.time()",
        "import time; time.sleep(1000)",
        "import datetime; datetime.datetime.now()",
        "import random; random.random()",
        "raise SystemExit",
        "raise KeyboardInterrupt",
        "exit()",
        "quit()",
        "input()",
        "breakpoint()",
        "help()",
    ]


def _imports() -> list[str]:
    names = [
        "ctypes",
        "builtins",
        "importlib",
        "pickle",
        "marshal",
        "gc",
        "inspect",
        "types",
        "mmap",
        "pty",
        "resource",
    ]
    others = ["pydantic_monty", "toolformer_ray", "torch", "ray", "site", "cffi", "posix", "_io", "_thread"]
    return [
        *(f"import {name}; {name}" for name in [*names, *others]),
        "__import__('os').system('true')",
        "from os import system; system('true')",
        "from toolformer_ray.tools import tool; tool",
        "from . import tools",
        "import importlib; importlib.import_module('os')",
    ]


def _walks() -> list[str]:
    roots = ["()", "''", "0", "(lambda: 0)", "print", "type", "Exception()"]
    return [
        *(f"{root}.__class__.__bases__" for root in roots),
        *(f"{root}.__class__.__subclasses__()" for root in roots[:3]),
        "().__class__.__base__.__subclasses__()",
        "type.mro(int)",
        "object.__subclasses__()",
        "(lambda: 0).__globals__",
        "(lambda: 0).__code__",
        "(lambda: 0).__closure__",
        "print.__self__",
        "print.__init__.__globals__",
        "'{0.__class__}'.format(1)",
        "'{0.__init__.__globals__}'.format(print)",
        "'{x.__class__.__mro__}'.format_map({'x': 1})",
        "f'{(1).__class__.__base__.__subclasses__()}'",
        "getattr((), '__class__').__bases__",
        "getattr((), '__cla' + 'ss__').__bases__",
        "try:\n    1/0\nexcept Exception as e:\n    x = e.__traceback__.tb_frame\nx",
        "(i for i in (1,)).gi_frame.f_back.f_globals",
        "globals()",
        "vars()",
        "dir()",
        "__builtins__",
        "__builtins__['open']",
        "class A:\n    def __del__(self): open('/etc/passwd')\nA().__class__.__base__.__subclasses__()",
    ]


def _code(file: str) -> list[str]:
    inner = f"open({file!r}).read()"
    return [
        f"eval({inner!r})",
        f"exec({inner!r}); 1",
        f"compile({inner!r}, 'x', 'eval')",
        f"eval(compile({inner!r}, 'x', 'eval'))",
        f"eval('eval(' + repr({inner!r}) + ')')",
        "eval('__import__(\"os\")')",
        "exec('import os\\nos.environ'); 1",
        "eval('(' * 900)",
        "exec('while True: pass')",
        f"(lambda f=open: f({file!r}).read())()",
        f"list(map(open, ({file!r},)))",
        f"max(({file!r},), key=open)",
        f"sorted(({file!r},), key=lambda name: open(name).read())",
    ]


def _memory() -> list[str]:
    return [
        "'x' * 10**9",
        "'x' * 10**12",
        "x = 'ab'\nwhile True: x = x + x",
        "x = (0,)\nwhile True: x = x + x",
        "list((0,)) * 10**9",
        "list(range(10**9))",
        "tuple(range(10**8))",
        "set(range(10**8))",
        "dict.fromkeys(range(10**8))",
        "{i: str(i) for i in range(10**8)}",
        "sum(((0,) * 1000 for i in range(10**6)), ())",
        "list(list(list((0,) * 1000 for a in range(1000)) for b in range(1000)) for c in range(1000))",
        "10 ** 10 ** 8",
        "1 << 10**10",
        "x = 3\nfor i in range(40): x = x * x\nx",
        "f'{1:1000000000}'",
        "'%1000000000d' % 1",
        "'{:>1000000000}'.format(1)",
        "'a'.ljust(10**9)",
        "'a'.zfill(10**9)",
        "'ab'.replace('a', 'a' * 10**8)",
        "','.join(('a' * 1000,) * 10**6)",
        "('a,' * 10**7).split(',')",
        "bytes(10**9)",
        "b'x' * 10**9",
        "repr('\\n' * 10**8)",
        "import itertools; list(itertools.product(range(100), repeat=5))",
        "import itertools; list(itertools.count())",
        "import json; json.dumps((0,) * 10**8)",
        "import re; re.sub('a', 'b' * 10**6, 'a' * 10**4)",
        "import collections; collections.deque(range(10**8))",
        "x = (0,)\nfor i in range(40): x = (x, x)\nx",
        "x = (0,)\nfor i in range(40): x = (x, x)\nstr(x)",
        "class A: pass\nx = list(A() for i in range(10**7))\nlen(x)",
        "f = lambda: 0\nfor i in range(10**7): f = (f, lambda: i)\nlen(f)",
        "try:\n    x = 'x' * 10**9\nexcept MemoryError:\n    x = 'x' * 10**9\nlen(x)",
    ]


def _time() -> list[str]:
    return [
        "while True: pass",
        "for i in range(10**12): pass",
        "sum(range(10**11))",
        "max(i for i in range(10**10))",
        "10**10 in (i for i in range(10**11))",
        "def f():\n    try:\n        while True: pass\n    except: f()\nf()",
        "def f():\n    try:\n        while True: pass\n    finally: f()\nf()",
        "pow(3, 10**100000, 10**5000)",
        "import math; math.factorial(10**6)",
        "import math; math.comb(10**6, 5 * 10**5)",
        "fib = lambda n: n if n < 2 else fib(n - 1) + fib(n - 2); fib(60)",
        "import itertools\nfor i in itertools.count(): pass",
    ]


def _depth() -> list[str]:
    return [
        "def f(n): return f(n + 1)\nf(0)",
        "f = lambda n: f(n + 1); f(0)",
        "def f(): g()\ndef g(): f()\nf()",
        "class A:\n    def __str__(self): return str(self)\nstr(A())",
        "class A:\n    def __eq__(self, other): return self == other\nA() == A()",
        "f = lambda g: g(g); f(f)",
        "def f():\n    try:\n        return f()\n    except RecursionError:\n        return f()\nf()",
        "import functools; functools.reduce(lambda a, b: a, map(lambda n: f(n), (1,)))",
    ]


def _nesting() -> list[str]:
    return [
        "(" * 490 + "1" + ")" * 490,
        "(" * 990,
        "-" * 990 + "1",
        "not " * 240 + "1",
        "x" + ".a" * 490,
        "x" + "()" * 490,
        "f'" + "{f'" * 200,
        "{" * 300 + "}" * 300,
        "\n".join(" " * depth + "if 1:" for depth in range(40)),
        "try:\n " * 60,
    ]


def _signs(file: str) -> list[str]:
    return [
        f"𝓸𝓹𝓮𝓷({file!r}).read()",
        f"ｏｐｅｎ({file!r}).read()",
        f"#coding: utf-7\n+AG8-pen({file!r})",
        "\ufeffopen('/etc/passwd')",
        "x = 1 \u2028 open('/etc/passwd')",
        "'\ud800'",
        "\0",
        "1 \0 + 1",
        "\u202e1",
        "а = 1; a",
        "\\\n" * 400,
    ]


def _output() -> list[str]:
    return [
        "while True: print('x' * 1000)",
        "print('x' * 10**7)",
        "for i in range(10**7): print(i)",
        "while True: print('', end='')",
        "print(*range(10**6))",
        "import sys\nwhile True: print('x', file=sys.stderr)",
    ]
