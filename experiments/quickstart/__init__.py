"""The data of `experiments/quickstart.ipynb`, and what runs the notebook."""
