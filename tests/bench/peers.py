"""What the scripts that compare with other implementations share: whether these are there, and rows of a Markdown table."""
import importlib.util
import json
import os
import shutil
import subprocess
import sys


def command():
    """How the script was called, as the table tells it."""
    script = os.path.join("tests", "bench", os.path.basename(sys.argv[0]))
    words, hidden = [], {"--bench", "--svm"}
    for before, word in zip([""] + sys.argv[1:], sys.argv[1:]):  # where the programs are is the caller's business
        if word != "--markdown" and word not in hidden and before not in hidden:
            words.append(word)
    return " ".join(["python3", script] + words)


def row(work, against="", target="", here="", there="", ratio=""):
    """Prints one line of the table of all.sh."""
    print("| " + " | ".join([work, against, target, here, there, ratio, f"`{command()}`"]) + " |", flush=True)


def need(*names):
    """Ends the script, with status 0, unless Python has these modules; a name with a minus is that of a program."""
    missing = [n for n in names if not (shutil.which(n) if "-" in n else importlib.util.find_spec(n))]
    if not missing:
        return
    if "--markdown" in sys.argv:
        row("", against=", ".join(missing), there="not installed")
    else:
        print(f"{os.path.basename(sys.argv[0])}: {', '.join(missing)}: not installed here, so nothing is compared")
    sys.exit(0)


def version(module):
    """"PyTorch 2.13", without what is behind the second dot."""
    names = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "sklearn": "scikit-learn"}
    number = importlib.import_module(module).__version__
    return f"{names[module]} {'.'.join(number.split('.')[:2])}"


def bench(program, *arguments):
    """What `bin/bench ARGUMENTS --json` measured."""
    out = subprocess.run([program, "--json", *map(str, arguments)], check=True, capture_output=True, text=True).stdout
    return json.loads(out)
