"""Toy protein families: sequences drawn from Potts models, so that contacts and effects of mutations are known.

A family is a contact map over L residues. Residues in contact attract each other by one table of pair weights, the
same for all contacts of all families, as a statistical contact potential does; a few conserved residues prefer one
letter and touch nobody. With the weights W of pairs and V of letters the probability of a sequence is

    p(x) = (1/Z) prod_{i} V_i(x_i) prod_{contacts i < j} W(x_i, x_j) = exp(-E(x)) / Z,

a Potts model with fields h = ln V and couplings J = ln W on the contacts, 0 elsewhere. Sequences are drawn by Gibbs
sampling: residue after residue is drawn anew given its neighbours, for all chains at once. A sweep ends with all of
them redrawn, and after some twenty sweeps the statistics of pairs have settled (a test compares with many more).

The weights are multiples of 1/64 and nothing but uniform draws, products, running sums and comparisons is used, so
that a seed gives the same sequences everywhere.

References: Potts models of families: Weigt et al. 2009, "Identification of direct residue contacts in protein-protein
interaction by message passing"; Morcos et al. 2011, "Direct-coupling analysis of residue coevolution captures native
contacts across many protein families". One potential for all contacts: Miyazawa and Jernigan 1985, "Estimation of
effective interresidue contact energies from protein crystal structures".
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sslcourse import arguments

VERSION = 1  # raise it with any change of the sequences: checkpoints name the version that they were trained on
LETTERS = 20
LENGTH = 32
FAMILIES = 4
SEPARATION = 6  # contacts are at least so far apart along the chain
CONTACTS = LENGTH  # so that the best L predictions can all be right
CONSERVED = 4  # residues with a field
PARTNERS = 3  # contacts of one residue, at most
SWEEPS = 40

_WORLD = 2026  # the seed of potential and families, not of the sequences drawn from them
_STRONG = 20  # weight of a matching pair, where a typical other one has 1
_FIELD = 171  # weight of the letter of a conserved residue: nine times all the others together


@dataclass(frozen=True, eq=False)
class Potts:
    """One family. contacts: bool (L, L); fields h: float64 (L, 20); potential: float64 (20, 20), ln W of a contact.

    Energies are in units of kT: the probability of a sequence is exp(-energy) / Z.
    """

    contacts: Tensor
    fields: Tensor
    potential: Tensor

    def couplings(self) -> Tensor:
        """J: float64 (L, L, 20, 20), 0 for residues that do not touch."""
        return self.contacts[:, :, None, None] * self.potential

    def energy(self, numbers: Tensor) -> Tensor:
        """float64 (N,) for sequences given as numbers (N, L) into AMINO_ACIDS; lower is more probable."""
        self._check(numbers, 2)
        places = torch.arange(self.contacts.shape[0])
        i, j = self.contacts.triu(1).nonzero(as_tuple=True)
        return -self.fields[places, numbers].sum(dim=1) - self.potential[numbers[:, i], numbers[:, j]].sum(dim=1)

    def effects(self, numbers: Tensor) -> Tensor:
        """float64 (L, 20): energy(sequence) - energy(mutant) for all single mutants of one sequence (L,).

        That is ln p(mutant) - ln p(sequence), negative where the mutation harms; 0 for the sequence's own letter.
        """
        self._check(numbers, 1)
        given = self.contacts.double() @ self.potential[numbers]  # (L, 20): what the neighbours say
        logits = self.fields + given
        return logits - logits.gather(1, numbers[:, None])

    def _check(self, numbers: Tensor, dimensions: int) -> None:
        residues, letters = self.fields.shape
        wanted = f"int64 {'(N, ' if dimensions == 2 else '('}{residues}{',' * (dimensions == 1)})"
        if not isinstance(numbers, Tensor) or numbers.dtype != torch.int64:
            raise TypeError(f"numbers is {arguments.shown(numbers)}; it should be {wanted}, places in AMINO_ACIDS.")
        arguments.tensor("numbers", numbers, wanted)
        if numbers.dim() != dimensions or numbers.shape[-1] != residues:
            raise ValueError(f"numbers has shape {tuple(numbers.shape)}; it should be {wanted}.")
        if numbers.numel() and not 0 <= numbers.min() <= numbers.max() < letters:
            raise ValueError(
                f"numbers run from {numbers.min()} to {numbers.max()}; amino acids have those from 0 to {letters - 1}."
            )


@lru_cache
def families() -> tuple[Potts, ...]:
    """The families of the toy, always the same ones."""
    uniform = np.random.Generator(np.random.PCG64(_WORLD)).random
    weights = _pair_weights(uniform)
    letters = np.argsort(uniform(LETTERS))[:CONSERVED]  # of the conserved residues: the same in all families
    potential = torch.from_numpy(np.log(weights))
    made = []
    for _ in range(FAMILIES):
        contacts, conserved = _contact_map(uniform)
        fields = np.zeros((LENGTH, LETTERS))
        fields[conserved, letters] = np.log(_FIELD)  # at other places: composition does not tell a family
        made.append(Potts(torch.from_numpy(contacts), torch.from_numpy(fields), potential))
    return tuple(made)


def _pair_weights(uniform) -> np.ndarray:
    """W: symmetric (20, 20). Letters come in ten pairs that match; all other pairs are more or less indifferent."""
    draws = uniform((LETTERS, LETTERS))
    upper = np.triu(np.floor(16 + 112 * draws * draws) / 64)  # from 1/4 to 2, mostly below 1
    weights = np.triu(upper) + np.triu(upper, 1).T
    order = np.argsort(uniform(LETTERS))
    weights[order[0::2], order[1::2]] = weights[order[1::2], order[0::2]] = _STRONG
    return weights


def _contact_map(uniform) -> tuple[np.ndarray, np.ndarray]:
    """Contacts (L, L), and the places of the conserved residues.

    Contacts come in ladders of up to four rungs, parallel (i + k, j + k) or antiparallel (i + k, j - k), as between
    the strands of a sheet.
    """
    conserved = np.argsort(uniform(LENGTH))[:CONSERVED]
    fixed = set(conserved.tolist())
    contacts = np.zeros((LENGTH, LENGTH), bool)
    for _ in range(300):
        missing = CONTACTS - int(contacts.sum()) // 2
        if missing == 0:
            return contacts, conserved
        first, second, turn = uniform(3)
        rungs = np.arange(min(4, missing))
        i = int(first * LENGTH) + rungs
        j = int(second * LENGTH) + (rungs if turn < 0.5 else -rungs)
        both = np.concatenate([i, j])
        outside = both.min() < 0 or both.max() >= LENGTH
        if outside or fixed & set(both.tolist()) or abs(i - j).min() < SEPARATION or contacts[i, j].any():
            continue
        more = contacts.copy()
        more[i, j] = more[j, i] = True
        if more.sum(axis=1).max() <= PARTNERS:
            contacts = more
    return _contact_map(uniform)  # a dead end: start again


def sample(family: Potts, n: int, seed: int, sweeps: int = SWEEPS) -> Tensor:
    """n sequences of a family as numbers (n, L), int64; independent chains, each from random letters.

    Fields and couplings may not meet in one residue, as in `families()`.
    """
    uniform = np.random.Generator(np.random.PCG64(seed)).random
    weights = torch.exp(family.potential).mul(64).round().div(64).numpy()  # back to the exact multiples of 1/64
    fields = torch.exp(family.fields).round().numpy()
    x = (uniform((len(fields), n)) * LETTERS).astype(np.int64)  # (L, n)

    # What a residue with a given neighbourhood is drawn from: running sums, neighbourhood after neighbourhood.
    degrees = {}
    product = np.ones((1, LETTERS))
    for degree in range(PARTNERS + 1):
        degrees[degree] = _running(product)
        product = (product[:, None] * weights[None]).reshape(-1, LETTERS)
    neighbours = [np.flatnonzero(row) for row in family.contacts.numpy()]

    for sweep in range(sweeps):
        for place, partners in enumerate(neighbours):
            if len(partners) == 0:  # independent of all others, so one draw is enough
                if sweep == 0:
                    x[place] = _draw(_running(fields[place : place + 1]), np.zeros(n, np.int64), uniform(n))
                continue
            row = np.zeros(n, np.int64)
            for partner in partners:
                row = row * LETTERS + x[partner]
            x[place] = _draw(degrees[len(partners)], row, uniform(n))
    return torch.from_numpy(np.ascontiguousarray(x.T))


def _running(weights: np.ndarray) -> np.ndarray:
    """Rows of weights (R, 20) as one rising table (R * 20,): row r holds r + its running sums, from 0 to 1."""
    sums = np.cumsum(weights, axis=1)
    return (sums / sums[:, -1:] + np.arange(len(weights))[:, None]).ravel()


def _draw(table: np.ndarray, row: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One letter for every chain: in the row of its neighbourhood, where the running sum passes the uniform number."""
    found = np.searchsorted(table, row + uniform, side="right") - row * LETTERS
    return np.minimum(found, LETTERS - 1)  # row + uniform may round up to the next row
