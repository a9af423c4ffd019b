"""Stages that add scores and signals to groups."""

from sharpen.feedback.consistency import consistency, kendall_tau
from sharpen.feedback.votes import Ballot, Vote, vote, votes

__all__ = ["Ballot", "Vote", "consistency", "kendall_tau", "vote", "votes"]
