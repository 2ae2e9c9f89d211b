"""Reinforcement learning: the update, on what was collected before."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.distributions import Categorical, Normal
from torch.nn import functional as F

from zoo.language import VOCAB, Gpt

STATE, ACTIONS = 64, 6


class ActorCritic(nn.Module):
    """One body, a policy and a value."""

    def __init__(self, width=256):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(STATE, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
        )
        self.policy, self.value = nn.Linear(width, ACTIONS), nn.Linear(width, 1)
        nn.init.orthogonal_(self.policy.weight, 0.01)

    def forward(self, states):
        h = self.body(states)
        return Categorical(logits=self.policy(h)), self.value(h).squeeze(-1)


def ppo():
    """Clipped ratios, clipped values, an entropy bonus."""

    def make_batch(batch_size):
        return {
            "states": torch.randn(batch_size, STATE), "actions": torch.arange(batch_size) % ACTIONS,
            "log_probs": torch.full((batch_size,), -1.8), "values": torch.randn(batch_size),
            "returns": torch.randn(batch_size),
        }  # fmt: skip

    def loss(model, batch):
        policy, values = model(batch["states"])
        advantages = batch["returns"] - batch["values"]
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        ratio = (policy.log_prob(batch["actions"]) - batch["log_probs"]).exp()
        clipped = torch.clamp(ratio, 0.8, 1.2)
        gain = torch.min(ratio * advantages, clipped * advantages).mean()
        near = batch["values"] + (values - batch["values"]).clamp(-0.2, 0.2)
        errors = torch.max((values - batch["returns"]) ** 2, (near - batch["returns"]) ** 2)
        return -gain + 0.25 * errors.mean() - 0.01 * policy.entropy().mean()

    return ActorCritic(), make_batch, loss


def _frames():
    return nn.Sequential(
        nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 9 * 9, 256), nn.ReLU(), nn.Linear(256, ACTIONS),
    )  # fmt: skip


def dqn():
    """Frames as bytes, a target network outside of the trained one."""
    model = _frames()
    target = copy.deepcopy(model)

    def make_batch(batch_size):
        return {
            "states": torch.randint(256, (batch_size, 4, 84, 84), dtype=torch.uint8),
            "after": torch.randint(256, (batch_size, 4, 84, 84), dtype=torch.uint8),
            "actions": torch.arange(batch_size) % ACTIONS, "rewards": torch.randn(batch_size),
            "done": torch.arange(batch_size) % 7 == 0,
        }  # fmt: skip

    def loss(model, batch):
        values = model(batch["states"].float() / 255).gather(1, batch["actions"][:, None])
        with torch.no_grad():
            best = target(batch["after"].float() / 255).max(1).values
            best[batch["done"]] = 0.0
            wanted = batch["rewards"] + 0.99 * best
        return F.smooth_l1_loss(values.squeeze(1), wanted)

    return model, make_batch, loss


class Squashed(nn.Module):
    """A normal policy through tanh, two critics and their slow copies."""

    def __init__(self, width=256):
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(STATE, width), nn.ReLU(), nn.Linear(width, 12))
        self.critics = nn.ModuleList(
            nn.Sequential(nn.Linear(STATE + 6, width), nn.ReLU(), nn.Linear(width, 1))
            for _ in range(2)
        )
        self.slow = copy.deepcopy(self.critics).requires_grad_(False)
        self.temperature = nn.Parameter(torch.zeros(1))

    def act(self, states):
        mean, spread = self.policy(states).chunk(2, -1)
        normal = Normal(mean, spread.clamp(-5, 2).exp())
        raw = normal.rsample()
        action = torch.tanh(raw)
        log = normal.log_prob(raw) - torch.log(1 - action.pow(2) + 1e-6)
        return action, log.sum(-1)


def soft_actor_critic():
    """All three losses in one sum."""

    def make_batch(batch_size):
        return torch.randn(2, batch_size, STATE), torch.rand(batch_size, 6), torch.randn(batch_size)

    def loss(model, batch):
        (states, after), actions, rewards = batch
        heat = model.temperature.exp()
        with torch.no_grad():
            following, log = model.act(after)
            pair = torch.cat((after, following), -1)
            lowest = torch.min(*(critic(pair).squeeze(-1) for critic in model.slow))
            wanted = rewards + 0.99 * (lowest - heat * log)
        pair = torch.cat((states, actions), -1)
        error = sum(F.mse_loss(critic(pair).squeeze(-1), wanted) for critic in model.critics)
        mine, log = model.act(states)
        pair = torch.cat((states, mine), -1)
        lowest = torch.min(*(critic(pair).squeeze(-1) for critic in model.critics))
        policy = (heat.detach() * log - lowest).mean()
        return error + policy - (model.temperature * (log.detach() - 6)).mean()

    return Squashed(), make_batch, loss


class DecisionTransformer(nn.Module):
    """Returns, states and actions in turn through a causal encoder."""

    def __init__(self, width=128, length=20):
        super().__init__()
        self.returns, self.states = nn.Linear(1, width), nn.Linear(STATE, width)
        self.actions, self.times = nn.Embedding(ACTIONS, width), nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(width, ACTIONS)

    def forward(self, returns, states, actions):
        times = self.times(torch.arange(states.size(1), device=states.device))
        parts = (self.returns(returns[..., None]), self.states(states), self.actions(actions))
        x = torch.stack([part + times for part in parts], 2).flatten(1, 2)
        mask = nn.Transformer.generate_square_subsequent_mask(x.size(1), device=x.device)
        return self.head(self.encoder(x, mask=mask, is_causal=True)[:, 1::3])


def decision_transformer():
    """Actions predicted from returns and states."""

    def make_batch(batch_size):
        actions = (torch.arange(20)[None, :] + torch.arange(batch_size)[:, None]) % ACTIONS
        return torch.rand(batch_size, 20), torch.randn(batch_size, 20, STATE), actions

    def loss(model, batch):
        scores = model(*batch)
        return F.cross_entropy(scores.flatten(0, 1), batch[2].flatten())

    return DecisionTransformer(), make_batch, loss


def sampled_policy_gradient():
    """The decoder writes its own answers inside the step, and is rewarded for them."""

    def make_batch(batch_size):
        return torch.randint(VOCAB, (batch_size, 16))

    def loss(model, prompts):
        text = prompts
        with torch.no_grad():
            for _ in range(24):
                chances = model(text)[:, -1].softmax(-1)
                text = torch.cat((text, torch.multinomial(chances, 1)), 1)
        answer = text[:, prompts.size(1) :]
        scores = model(text[:, :-1])[:, prompts.size(1) - 1 :].log_softmax(-1)
        chosen = scores.gather(-1, answer.unsqueeze(-1)).squeeze(-1)
        rewards = (answer % 2 == 0).float().mean(1)
        advantage = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        return -(advantage[:, None] * chosen).mean()

    return Gpt(dropout=0.0), make_batch, loss
