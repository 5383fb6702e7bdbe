"""The text of a lesson that is the same for every network, for readers who see backpropagation for the first time."""

INTRODUCTION = """<p>Training repeats one thing many times. <b>Forward:</b> a row goes in, and each layer computes its
numbers from those of the layer before, until there is a prediction; the <b>loss</b> says how wrong it is.
<b>Backward:</b> each layer is told how the loss would change if its output were a little larger (the
<b>gradient</b>), and computes from it two things: how the loss would change if its weights were a little larger, and
what to tell the layer before. <b>Update:</b> every weight takes a small step in the direction in which the loss falls.
</p>
<p>Begin at epoch 0, where the weights are random, and press “Next step” until the update. Then move the epoch: the
same row, after more training.</p>"""

_MEANINGS = (
    ("Row", "One example: the numbers that go in, and the target, what should come out."),
    ("Weight", "A number that a neuron multiplies an input by. Weights are what the network learns."),
    ("Bias", "A number that a neuron adds, whatever the input is. It is learnt too."),
    (
        "Layer",
        "Neurons side by side. Its weights are a matrix W, with a row for each input and a column for each neuron.",
    ),
    (
        "Activation",
        "A function that bends the output of a neuron. Without it several layers could do no more than one. The "
        "numbers that come out of it are called activations as well.",
    ),
    ("Score", "The output of the last layer, before it is made a probability."),
    ("Loss", "How wrong a prediction is: one number, 0 at best. Training makes its mean over the rows small."),
    (
        "Gradient",
        "∂L/∂w, the slope of the loss along w: by how much it rises for each unit by which w rises. If it is "
        "positive, a smaller w is better. An array has one for each entry, in an array of the same shape.",
    ),
    (
        "Chain rule",
        "If w changes z, and z changes the loss, the slopes multiply: ∂L/∂w = ∂L/∂z times ∂z/∂w. Each layer only needs "
        "∂L/∂z from the layer after it. That is all of backpropagation.",
    ),
    ("Learning rate", "η, the length of a step, as a multiple of the gradient. If it is too large, the loss rises."),
    ("Batch", "Rows whose gradients are averaged for one update."),
    ("Epoch", "One pass over all training rows."),
    ("Validation rows", "Rows from which nothing is learnt, to see whether the network is right about new rows too."),
    ("A · B", "The matrix product: row by row of A, column by column of B, products added up."),
    ("A ⊙ B", "Entry by entry: each number of A times the number of B at the same place."),
    ("Aᵀ", "The transposed matrix: rows become columns."),
)
WORDS = "<dl class='words'>" + "".join(f"<div><dt>{a}</dt><dd>{b}</dd></div>" for a, b in _MEANINGS) + "</dl>"

HELP = """<ul>
<li><kbd>Tab</kbd> goes from control to control, <kbd>Shift</kbd> + <kbd>Tab</kbd> back.</li>
<li>On a slider <kbd>←</kbd> and <kbd>→</kbd> move by one, <kbd>Page Up</kbd> and <kbd>Page Down</kbd> by more,
<kbd>Home</kbd> and <kbd>End</kbd> go to its ends.</li>
<li>On the plane of the rows, or in their table, the arrow keys choose a row.</li>
<li><kbd>Enter</kbd> or <kbd>Space</kbd> press a button. Playing stops at the last epoch, or with the same button.</li>
<li>Wide arrays scroll sideways, also with the arrow keys once they have the focus.</li>
</ul>"""
