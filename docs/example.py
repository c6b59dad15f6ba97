"""A first session from Python, in cells (# %%) for an editor that runs them one by one; or python docs/example.py.

Trains two networks on handwritten digits, compares them, and asks the better one. Half a minute on 2 cores.
"""

# %% A run is a list of choices; what is left open is as on the command line.
import tempfile
from pathlib import Path

import trainlab

folder = Path(tempfile.mkdtemp())  # yours may be "runs/first"
quiet = ["logger=none", "trainer=cpu"]
trainlab.run([*quiet, "model=perceptron", "trainer.max_epochs=20"], run_dir=folder / "perceptron")
results = trainlab.run([*quiet, "model=mlp", "model.hidden=[64]", "trainer.max_epochs=10"], run_dir=folder / "mlp")
print(f"the MLP's test error is {results['test/top1_error']:.1%}; all about it lies in {results.run_dir}")

# %% Both runs as a table: a row for each, with what was chosen and what it came to.
table = trainlab.read_runs(folder)
print(table[["model", "optim", "test/top1_error", "test/loss", "parameters", "seconds"]].to_string(index=False))

# %% The better one, to be asked. It takes paths, Pillow's images or uint8 arrays (N, C, H, W) of any size.
from sklearn.datasets import load_digits  # noqa: E402

best = table.sort_values("best/val/top1_error").iloc[0]  # by the validation error: the test set chooses nothing
network = trainlab.load(best["folder"])
digits = load_digits()
images = (digits.images[:8, None] * (255 / 16)).round().astype("uint8")
probabilities = network.predict(images)
for label, row in zip(digits.target[:8], probabilities, strict=True):
    said = network.classes[int(row.argmax())]
    print(f"a {label} is taken for a {said}, with a probability of {row.max():.1%}")

# %% The network itself is a torch.nn.Module, and its parts are plain PyTorch.
print(network.net)
outputs = network.net(network.preprocess(images))
loss = trainlab.objective.CrossEntropy()
assert loss.predict(outputs).allclose(probabilities, atol=1e-6)
