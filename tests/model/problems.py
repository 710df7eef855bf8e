"""Problems in the form of MBPP's (Austin et al. 2021), written for these tests."""

from __future__ import annotations

from typing import Any

_PROBLEMS = [
    ("add two numbers", "def add(a, b):\n    return a + b", ["add(1, 2) == 3", "add(-1, 1) == 0"]),
    ("find the largest of a list", "def largest(xs):\n    return max(xs)", ["largest([1, 9, 3]) == 9", "largest([-2]) == -2"]),
    ("count the vowels of a word", "def vowels(s):\n    return sum(c in 'aeiou' for c in s)", ["vowels('river') == 2", "vowels('') == 0"]),
    ("reverse a text", "def turn(s):\n    return s[::-1]", ["turn('abc') == 'cba'", "turn('北京') == '京北'"]),
    ("check whether a number is even", "def even(n):\n    return n % 2 == 0", ["even(4) == True", "even(7) == False"]),
    (
        "compute a factorial",
        "def factorial(n):\n    return 1 if n < 2 else n * factorial(n - 1)",
        ["factorial(5) == 120", "factorial(0) == 1"],
    ),
    (
        "find the n-th Fibonacci number",
        "def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
        ["fib(10) == 55", "fib(1) == 1"],
    ),
    (
        "check whether a number is prime",
        "def prime(n):\n    return n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))",
        ["prime(2)", "prime(97)", "prime(25) == False", "prime(1) == False"],
    ),
    (
        "find the greatest common divisor",
        "def gcd(a, b):\n    while b:\n        a, b = b, a % b\n    return a",
        ["gcd(12, 18) == 6", "gcd(5, 7) == 1"],
    ),
    (
        "remove duplicates, in order",
        "def unique(xs):\n    return list(dict.fromkeys(xs))",
        ["unique([1, 2, 1]) == [1, 2]", "unique([]) == []"],
    ),
    ("sum the digits of a number", "def digits(n):\n    return sum(map(int, str(n)))", ["digits(123) == 6", "digits(0) == 0"]),
    ("check for a palindrome", "def same(s):\n    return s == s[::-1]", ["same('level') == True", "same('ab') == False"]),
    ("flatten a list of lists", "def flat(xs):\n    return [x for row in xs for x in row]", ["flat([[1], [2, 3]]) == [1, 2, 3]"]),
    (
        "count how often each item occurs",
        "from collections import Counter\ndef counts(xs):\n    return dict(Counter(xs))",
        ["counts('aab') == {'a': 2, 'b': 1}"],
    ),
    (
        "merge two sorted lists",
        "import heapq\ndef merge(a, b):\n    return list(heapq.merge(a, b))",
        ["merge([1, 3], [2]) == [1, 2, 3]", "merge([], []) == []"],
    ),
    (
        "search a sorted list for the place of a value, -1 if it isn't there",
        "def search(xs, x):\n    low, high = 0, len(xs) - 1\n    while low <= high:\n        mid = (low + high) // 2\n"
        "        if xs[mid] == x:\n            return mid\n        if xs[mid] < x:\n            low = mid + 1\n"
        "        else:\n            high = mid - 1\n    return -1",
        ["search([1, 3, 5], 5) == 2", "search([1, 3, 5], 1) == 0", "search([1, 3], 2) == -1"],
    ),
    ("convert Celsius to Fahrenheit", "def convert(c):\n    return c * 9 / 5 + 32", ["convert(100) == 212", "convert(-40) == -40"]),
    ("transpose a matrix", "def turn(m):\n    return [list(row) for row in zip(*m)]", ["turn([[1, 2], [3, 4]]) == [[1, 3], [2, 4]]"]),
    (
        "find the words that begin with a capital",
        "import re\ndef capitals(s):\n    return re.findall(r'\\b[A-Z]\\w*', s)",
        ["capitals('We met Li in Xi') == ['We', 'Li', 'Xi']"],
    ),
    ("write a number in base two", "def binary(n):\n    return bin(n)[2:]", ["binary(5) == '101'", "binary(0) == '0'"]),
    (
        "write a number in Roman numerals",
        "def roman(n):\n    out = ''\n    for value, name in ((10, 'X'), (9, 'IX'), (5, 'V'), (4, 'IV'), (1, 'I')):\n"
        "        while n >= value:\n            out += name\n            n -= value\n    return out",
        ["roman(14) == 'XIV'", "roman(9) == 'IX'", "roman(3) == 'III'"],
    ),
    ("take the mean of numbers", "def mean(xs):\n    return sum(xs) / len(xs)", ["mean([1, 2, 3]) == 2"]),
    (
        "check whether brackets are balanced",
        "def balanced(s):\n    depth = 0\n    for c in s:\n        depth += {'(': 1, ')': -1}.get(c, 0)\n"
        "        if depth < 0:\n            return False\n    return depth == 0",
        ["balanced('(())')", "balanced(')(') == False", "balanced('(') == False"],
    ),
    (
        "make a stack",
        "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n        self.items.append(x)\n"
        "    def pop(self):\n        return self.items.pop()",
        ["STACK.push(3) is None and STACK.pop() == 3"],
    ),
]

PROBLEMS: list[dict[str, Any]] = [
    {
        "task_id": number,
        "text": f"Write a function to {told}.",
        "code": code.replace("\n", "\r\n"),  # as MBPP has it
        "test_setup_code": "",
        "test_list": [f"assert {test}".replace("STACK.push(3) is None", "(STACK := Stack()).push(3) is None") for test in tests],
    }
    for number, (told, code, tests) in enumerate(_PROBLEMS, 1)
]
