"""The machinery of the checks: outcomes, references, strictness, and student code that can do no harm.

A week of its own stands behind these tests: one exercise, double(x), with a solution module that exists only here.
"""

import functools
import inspect
import random
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from harness import cell, verdict
from torch import nn

from sslcourse import evaluate, notices
from sslcourse.check import CheckFailed, NotAttempted, Wrong, compare, references_used, week01, week04, week12, words
from sslcourse.check.compare import Mistake, agree
from sslcourse.check.machinery import Student, exercise

THRICE = Mistake("it is tripled: double it.", (lambda x: float((3 * x).sum()),))
NEGATIVE = Mistake("the sign is wrong.", (lambda x: float((-2 * x).sum()),))


@exercise("week99")
def double(student: Student) -> str:
    """double(x) -> twice the sum of x."""
    cases = [(student.uniform(4, 2),), (student.uniform(3, 2),)]
    small = (torch.tensor([[0.5, 2.0]]),)
    agree(
        student,
        cases,
        lambda x: float((2 * x).sum()),
        (THRICE, NEGATIVE),
        words=lambda x: f"{len(x)} rows",
        small=small,
        hint="two numbers.",
    )
    return "Twice the sum."


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No fallback remembered, no strictness from outside."""
    for name in ("SSLCOURSE_STRICT", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    notices.forget()
    yield
    notices.forget()


@pytest.fixture
def reference(monkeypatch):
    """A solution module for the week of these tests; returns its function."""
    module = types.ModuleType("sslcourse.solutions.week99")
    exec("def double(x):\n    return 2 * x.sum()", module.__dict__)
    monkeypatch.setitem(sys.modules, "sslcourse.solutions.week99", module)
    return module.double


def right(x):
    return 2 * x.sum()


def thrice(x):
    return 3 * x.sum()


BLANKS = {
    "docstring": 'def double(x):\n    """Twice the sum."""',
    "pass": "def double(x):\n    pass",
    "dots": "def double(x):\n    ...",
    "return": 'def double(x):\n    """Twice."""\n    return',
    "return None": "def double(x: int = 3) -> int:\n    return None",
    "nbgrader": 'def double(x):\n    """Twice."""\n    # YOUR CODE HERE\n    raise NotImplementedError()',
    "begun": 'def double(x):\n    y = 2 * x\n    raise NotImplementedError("later")',
}


# --- three outcomes


@pytest.mark.parametrize("blank", BLANKS)
def test_blank_is_not_attempted(blank, reference, capsys):
    assert double(cell(BLANKS[blank], "double")) is reference
    assert capsys.readouterr().out == (
        "double: not attempted.\n"
        "Going on with the reference solution, so that the rest of the notebook runs; results that use it say so.\n"
    )
    assert references_used() == ("double",)


def test_right_returns_the_submission(reference, capsys):
    assert double(right) is right
    assert capsys.readouterr().out == "double: right. Twice the sum.\n"
    assert references_used() == ()


def test_wrong_returns_the_reference_and_says_which_mistake(reference, capsys):
    assert double(thrice) is reference
    printed = capsys.readouterr().out
    assert printed.startswith("double: not yet right. On 4 rows yours gives ")
    assert "It looks as if it is tripled: double it." in printed and "sign" not in printed
    assert "Going on with the reference" in printed


def test_a_mistake_without_a_name_shows_a_case_to_work_out_by_hand(reference):
    outcome, text = verdict(double, lambda x: 2 * x.sum() + 1)
    assert outcome == "wrong"
    assert (
        "On 1 rows yours gives 6, it should be 5. The inputs were x = [[0.5, 2]].\nTry that case by hand: two" in text
    )


def test_two_mistakes_that_fit_name_neither(reference):
    ambiguous = Mistake("something else.", THRICE.variants)

    @exercise("week99")
    def double(student):
        agree(student, [(torch.ones(2),)], lambda x: float(2 * x.sum()), (THRICE, ambiguous), words=lambda x: "ones")

    outcome, text = verdict(double, thrice)
    assert outcome == "wrong" and "looks as if" not in text


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "It returns None: is the `return` missing?"),
        ("six", "It returns something of type str, it should be a scalar."),
        (torch.ones(3), "It returns a tensor of shape (3,), it should be a scalar."),
        (float("nan"), "yours gives nan"),
    ],
)
def test_results_of_the_wrong_kind(result, words, reference):
    outcome, text = verdict(double, lambda x: result)
    assert outcome == "wrong" and words in text


def test_what_cannot_be_called_is_wrong(reference):
    assert "yours is of type int" in verdict(double, 3)[1]


# --- the reference


def test_the_reference_is_never_right(reference, capsys):
    handed_out = double(cell(BLANKS["pass"], "double"))
    capsys.readouterr()
    for submission in (handed_out, reference):
        assert double(submission) is reference
        printed = capsys.readouterr().out
        assert printed.startswith("double: this is the reference; run your own cell again. Its cell was not run ")
        assert printed.count("\n") == 1
    assert references_used() == ("double",)


def test_the_mark_stays_when_the_solutions_are_loaded_anew(reference, monkeypatch, capsys):
    handed_out = double(cell(BLANKS["pass"], "double"))
    monkeypatch.setattr(sys.modules["sslcourse.solutions.week99"], "double", lambda x: 2 * x.sum())
    double(handed_out)
    assert "this is the reference" in capsys.readouterr().out


def test_the_same_code_in_the_notebook_is_the_students_own(reference):
    assert verdict(double, cell("def double(x):\n    return 2 * x.sum()", "double"))[0] == "right"


def test_an_own_version_strikes_the_reference_out(reference):
    double(thrice)
    assert notices.notice() == "computed with the reference double"
    double(right)
    assert notices.notice() == ""


@pytest.mark.parametrize(
    "module", [None, types.ModuleType("sslcourse.solutions.week99")], ids=["no module", "not in it"]
)
def test_without_solutions_everything_else_works(module, monkeypatch, capsys):
    if module is not None:
        monkeypatch.setitem(sys.modules, "sslcourse.solutions.week99", module)
    assert double(thrice) is thrice
    assert "handed out without solutions" in capsys.readouterr().out
    assert double(right) is right
    assert capsys.readouterr().out == "double: right. Twice the sum.\n"
    blank = cell(BLANKS["nbgrader"], "double")
    assert double(blank) is blank
    with pytest.raises(Wrong, match="tripled"):
        double(thrice, strict=True)
    assert references_used() == ()


# --- strictness


@pytest.mark.parametrize("how", ["argument", "SSLCOURSE_STRICT", "NBGRADER_EXECUTION"])
def test_strict_raises_after_it_has_bound_the_reference(how, reference, monkeypatch):
    if how != "argument":
        monkeypatch.setenv(how, "1")
    call = "check(double, strict=True)" if how == "argument" else "check(double)"
    for source, error in ((BLANKS["pass"], NotAttempted), ("def double(x):\n    return 3 * x.sum()", Wrong)):
        notebook = {"check": double}
        exec(source, notebook)
        with pytest.raises(error, match="^double: not "):
            exec(f"double = {call}", notebook)
        assert notebook["double"] is reference  # what comes later in the notebook runs, and is graded alone
        assert references_used() == ("double",)
        with pytest.raises(NotAttempted, match="this is the reference"):
            exec(f"double = {call}", notebook)


def test_strict_accepts_what_is_right(reference, monkeypatch):
    assert double(right, strict=True) is right
    monkeypatch.setenv("SSLCOURSE_STRICT", "1")
    assert double(right) is right
    assert double(thrice, strict=False) is reference


def test_exceptions_are_what_graders_expect():
    assert issubclass(NotAttempted, NotImplementedError) and issubclass(Wrong, AssertionError)


def test_ipython_shows_the_message_alone(reference):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.user_ns["check"] = double
    shown = []
    shell._showtraceback = lambda kind, value, lines: shown.extend(lines)
    shell.run_cell("def double(x):\n    return 3 * x.sum()\ndouble = check(double, strict=True)")
    InteractiveShell.clear_instance()
    assert len(shown) == 1 and shown[0].startswith("double: not yet right. On 4 rows")
    assert shell.user_ns["double"] is reference


# --- student code that breaks


def test_an_error_is_shown_with_its_line_and_the_input(reference):
    source = '''
    # a comment above
    def double(x):
        """Twice."""
        n = len(x)
        return 2 * x[n].sum()
    '''
    outcome, text = verdict(double, cell(source, "double"))
    assert outcome == "wrong"
    assert (
        "Your code raised IndexError: index 4 is out of bounds for dimension 0 with size 4 "
        "(line 4: `return 2 * x[n].sum()`) for x of shape (4, 2)."
    ) in text


def test_an_error_in_a_helper_points_to_the_line_that_called_it(reference):
    source = "def helper(x):\n    return x[77]\n\ndef double(x):\n    y = helper(x)\n    return y"
    assert "(line 2: `y = helper(x)`)" in verdict(double, cell(source, "double"))[1]


def test_a_wrong_signature(reference):
    outcome, text = verdict(double, cell("def double():\n    return 2.0", "double"))
    assert outcome == "wrong" and "TypeError: double() takes 0 positional arguments but 1 was given" in text


def test_a_blank_of_another_exercise_is_not_this_ones(reference):
    source = "def helper(x):\n    raise NotImplementedError()\n\ndef double(x):\n    return helper(x)"
    outcome, text = verdict(double, cell(source, "double"))
    assert outcome == "wrong" and "helper is not written yet" in text


def test_what_torch_does_not_implement_is_wrong_not_blank(reference):
    outcome, text = verdict(double, lambda x: nn.Module()(x))  # a module without forward
    assert outcome == "wrong" and "Your code raised NotImplementedError" in text


def test_sys_exit_does_not_end_the_notebook(reference):
    assert verdict(double, lambda x: sys.exit(1))[0] == "wrong"


def test_a_class_that_is_blank():
    @exercise("week99")
    def Net(student):
        student(1)
        return "Fine."

    header = "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n"
    raising = header + "        raise NotImplementedError()"
    assert "not attempted (__init__ is blank)" in verdict(Net, cell(raising, "Net"))[1]
    idle = "class Net:\n    def __init__(self, n):\n        pass\n    def forward(self, x):\n        ..."
    assert verdict(Net, cell(idle, "Net"))[0] == "not attempted"
    assert verdict(Net, cell(header + "        self.n = n", "Net"))[0] == "right"
    assert "(line 3 of __init__: `n / 0`)" in verdict(Net, cell(header + "        n / 0", "Net"))[1]


# --- isolation


def test_changing_an_argument_in_place_is_noticed(reference):
    outcome, text = verdict(double, lambda x: x.mul_(2).sum())
    assert outcome == "wrong" and "changes its argument x in place" in text


def test_switching_gradients_off_for_good_is_noticed(reference):
    def careless(x):
        torch.set_grad_enabled(False)
        return 2 * x.sum()

    outcome, text = verdict(double, careless)
    assert outcome == "wrong" and "gradients switched off" in text
    assert torch.is_grad_enabled()


def test_global_state_is_as_before(reference):
    def careless(x):
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        torch.set_default_dtype(torch.float64)
        return 2 * x.sum()

    def draw():
        return random.random(), np.random.rand(), float(torch.rand(()))

    def seed():
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)

    seed()
    expected = draw()
    seed()
    assert verdict(double, careless)[0] == "right"
    assert draw() == expected
    assert torch.get_default_dtype() == torch.float32


def test_inputs_are_the_same_every_time():
    """The same code gets the same verdict and the same message."""
    texts = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        texts.add(verdict(double, thrice)[1])
    assert len(texts) == 1


def test_stderr_and_warnings_are_shown_on_stdout(reference, capsys):
    def noisy(x):
        print("still here", file=sys.stderr)
        warnings.warn("deprecated habit", stacklevel=1)
        return 2 * x.sum()

    double(noisy)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("your code warned: UserWarning: deprecated habit") == 1
    assert "your code wrote to stderr: still here" in out and "double: right." in out


@pytest.mark.parametrize("action", ["default", "ignore", "error", "once"])
def test_the_filter_of_warnings_is_the_checks_own(action, reference):
    def noisy(x):
        warnings.warn("mine", stacklevel=1)
        warnings.warn("for experts", DeprecationWarning, stacklevel=2)
        return 2 * x.sum()

    def silent(*args):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return evaluate.precision_at_l(*args)

    with warnings.catch_warnings():
        warnings.simplefilter(action)
        before = warnings.filters[:]
        outcome, text = verdict(double, noisy)
        assert warnings.filters == before
        assert (outcome, text.count("your code warned: UserWarning: mine"), "experts" in text) == ("right", 1, False)
        assert verdict(week12.precision_at_l, lambda *args: evaluate.precision_at_l(*args))[0] == "right"
        outcome, text = verdict(week12.precision_at_l, silent)
        assert outcome == "wrong" and "without a word" in text


def test_messages_are_ascii(reference):
    def fancy(x):
        raise ValueError("τ must be > 0")

    text = verdict(double, fancy)[1]
    assert text.isascii() and "ValueError" in text


# --- what the check does on purpose, and what it cannot do


def judge(examine, submission):
    """The verdict of a check made of `examine`, named double."""
    examine.__name__ = "double"
    return verdict(exercise("week99")(examine), submission)


@pytest.mark.parametrize("kind", [ValueError, UnicodeError])
def test_what_is_refused_as_it_should_be(kind, reference):
    def refuse(x):
        raise kind("no")

    assert judge(lambda student: str(student.refuses("K99A", because="there is no 99")), refuse)[1].endswith("True\n")
    assert judge(lambda student: str(student.refuses("K99A", because="there is no 99")), len)[1].endswith("False\n")


def test_another_refusal_says_what_was_passed_on_purpose(reference):
    def refuse(mutation):
        raise AssertionError

    outcome, text = judge(lambda student: student.refuses("K99A", because="K99A names no residue"), refuse)
    assert outcome == "wrong"
    assert "Your code raised AssertionError: no message (line 2" in text and "for mutation = 'K99A'." in text
    assert "The check passed this on purpose: K99A names no residue. It should raise ValueError." in text


def test_meaning_joins_the_messages_inside_it_alone(reference):
    def examine(student):
        with student.meaning("The check passed an empty batch on purpose."):
            student(torch.ones(1))
        student(torch.ones(3))

    outcome, text = judge(examine, lambda x: x[3] if len(x) == 3 else x)
    assert outcome == "wrong" and "an empty batch" not in text
    outcome, text = judge(examine, lambda x: x[3])
    assert outcome == "wrong" and text.split("\n")[0].endswith(
        "for x of shape (1,). The check passed an empty batch on purpose."
    )


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_a_copy_that_fails_is_told_as_the_checks_deed(reference):
    def build(x):
        return nn.Sequential(nn.Linear(2, 3), nn.utils.weight_norm(nn.Linear(3, 4, bias=False)))

    def examine(student):
        return str(student.copy(student(1), because="the teacher is one"))

    outcome, text = judge(examine, build)
    assert outcome == "wrong" and "Your code" not in text and "The tensor `1.weight` was computed from" in text
    assert "copy.deepcopy, which the check called on what yours had made, raised RuntimeError: Only Tensors" in text
    assert "because of a ... The tensor" in text  # cut between words
    assert text.split("\n")[1].endswith("The check copies it because the teacher is one.")
    assert judge(examine, lambda x: nn.Linear(2, 3))[0] == "right"


def test_listening_keeps_what_the_check_asked_for(reference, capsys):
    def warn(x):
        warnings.warn("nothing there", stacklevel=1)
        return x

    def examine(student):
        with student.listening() as warned:
            student(1)
        assert warned == ["UserWarning: nothing there"]
        with student.listening() as silent:
            pass
        return f"Warned once, {silent}."

    assert judge(examine, warn)[1] == "double: right. Warned once, [].\n"


@pytest.mark.parametrize("strict", [False, True])
def test_a_check_that_fails_itself_says_neither_right_nor_wrong(strict, reference, capsys):
    def double(student):
        return student(torch.ones(3))["right"]

    check = exercise("week99")(double)
    submission = cell("def double(x):\n    return 3", "double")
    if strict:
        with pytest.raises(CheckFailed, match="^double: the check itself failed with TypeError: 'int'"):
            exec("check(submission, strict=True)", {"check": check, "submission": submission})  # a notebook of its own
    else:
        assert check(submission) is reference  # so that the notebook goes on
        printed = capsys.readouterr().out
        assert "after your code had been called for x of shape (3,) and gave something of type int." in printed
        assert "neither as right nor as wrong" in printed and "please report it" in printed
        assert "check/test_machinery.py)" in printed and "Going on with the reference" in printed
    assert references_used() == ("double",)


def test_a_gradient_that_cannot_be_computed_is_the_students(reference):
    def examine(student):
        compare.gradients_agree(student, (torch.ones(3),), lambda x: x.exp().sum(), names=["x"])

    # exp needs its result for the gradient
    source = "def double(x):\n    y = x.exp()\n    loss = y.sum()\n    y.mul_(2)\n    return loss"
    outcome, text = judge(examine, cell(source, "double"))
    assert outcome == "wrong" and "The gradient of what it returns cannot be computed: RuntimeError: one of the" in text


def test_a_missing_return_is_the_students_wherever_it_shows(reference):
    submission = cell("def double(x):\n    2 * x", "double")
    for use in (list, lambda result: result.mean(), lambda result: result + 1, lambda result: result["mrr"]):
        outcome, text = judge(lambda student, use=use: use(student(1)), submission)
        assert outcome == "wrong" and "It returns None: is the `return` missing?" in text


@pytest.mark.parametrize("error", [GeneratorExit, BaseException, SystemExit, RecursionError, MemoryError])
def test_no_error_but_an_interrupt_escapes(error, reference):
    def double_(x):
        raise error

    outcome, text = verdict(double, double_)
    assert outcome == "wrong" and f"Your code raised {error.__name__}" in text


def test_an_object_that_minds_being_asked(reference):
    class Reserved:
        def __getattr__(self, name):
            raise RuntimeError(name)

        def __call__(self, x):
            return 2 * x.sum()

    assert verdict(double, Reserved())[0] == "right"


def test_an_error_of_the_students_code_outside_of_run_is_still_the_students(reference):
    def lazily(x):
        yield x
        yield x[7]

    outcome, text = judge(lambda student: list(student(torch.ones(2))), lazily)
    assert outcome == "wrong" and "Your code raised IndexError: index 7" in text and "(line 3: `yield x[7]`)" in text


def test_an_interrupt_leaves_everything_as_it_was(reference, capsys):
    def endless(x):
        print("begun", file=sys.stderr)
        warnings.simplefilter("error")
        np.random.seed(3)
        torch.set_grad_enabled(False)
        raise KeyboardInterrupt

    stderr, filters, state = sys.stderr, warnings.filters[:], np.random.get_state()[1].tolist()
    with pytest.raises(KeyboardInterrupt):
        double(endless)
    assert (sys.stderr, warnings.filters, np.random.get_state()[1].tolist()) == (stderr, filters, state)
    assert torch.is_grad_enabled()
    assert capsys.readouterr().out == "double: your code wrote to stderr: begun\n"


def test_much_on_stderr_is_cut(reference, capsys):
    def chatty(x):
        for n in range(100):
            print("step", n, file=sys.stderr)
        return 2 * x.sum()

    double(chatty)
    printed = capsys.readouterr().out
    assert "step 9\n... and 90 more lines\ndouble: right." in printed and "step 10" not in printed


def test_long_messages_are_cut_between_words():
    assert words.shorten("one two three.", 9) == "one two ..."
    assert words.shorten("one two, three", 8) == "one two ..."
    assert words.shorten("one two", 7) == "one two" and words.shorten("One.\nTwo.") == "One"
    assert words.shorten("x" * 300) == "x" * 200 + " ..."


# --- shapes of right answers


def scripted(x: torch.Tensor) -> torch.Tensor:
    return 2 * x.sum()


class Doubles:
    def __call__(self, x):
        return 2 * x.sum()

    def method(self, x):
        return self(x)


@functools.wraps(scripted)
def decorated(*args, **kwargs):
    return scripted(*args, **kwargs)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: functools.partial(lambda factor, x: factor * x.sum(), 2),
        lambda: functools.lru_cache(right),
        lambda: decorated,
        lambda: staticmethod(right),
        Doubles,
        lambda: Doubles().method,
        lambda: torch.no_grad()(right),
        lambda: torch.jit.script(scripted),
        lambda: torch.jit.trace(scripted, torch.ones(3), check_trace=False),
        lambda: lambda x: 2 * np.asarray(x).sum(),
        lambda: lambda x: torch.tensor(np.sum(2 * x.numpy(), dtype=np.float64)),
        lambda: lambda *args: 2 * args[0].sum(),
        lambda: type("Module", (nn.Module,), {"forward": lambda self, x: 2 * x.sum()})(),
    ],
)
def test_right_in_any_shape(make, reference):
    outcome, text = verdict(double, make())
    assert outcome == "right" and text.count("\n") == 1, text


def test_wraps_of_the_reference_is_ones_own(reference):
    handed_out = double(cell(BLANKS["pass"], "double"))

    @functools.wraps(handed_out)
    def own(x):
        return 2 * x.sum()

    assert verdict(double, own)[0] == "right"


# --- the checks of the weeks


@pytest.mark.parametrize("week", [week01, week04], ids=["week01", "week04"])
def test_every_check_bears_the_name_of_its_exercise_and_takes_strict(week):
    for name in week.__all__:
        check = getattr(week, name)
        assert check.__name__ == name
        if name not in ("report", "sweep"):
            assert list(inspect.signature(check).parameters) == ["submission", "strict"]
            assert verdict(check, cell(f"def {name}(*args, **kwargs):\n    ...", name))[0] == "not attempted"


def test_checks_import_no_heavy_library():
    code = "import sys; from sslcourse.check import week01, week04; print({'sklearn', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def shifting(device):
    def uniformity(z, t=2.0):
        value = (-t * torch.pdist(z / z.norm(dim=1, keepdim=True)).square()).exp().mean().log()
        if device:
            torch.set_default_device(device)
        return value

    return uniformity


@pytest.mark.parametrize(("before", "inside"), [("cpu", None), ("meta", None), ("cpu", "meta")])
def test_checks_run_on_the_cpu_whatever_the_default_device_is_and_leave_it_as_it_was(before, inside, capsys):
    torch.set_default_device(None if before == "cpu" else before)
    try:
        week04.uniformity(shifting(inside), strict=False)
        assert torch.empty(0).device.type == before
    finally:
        torch.set_default_device(None)
    assert inside or "uniformity: right." in capsys.readouterr().out
