from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from plainfilm.catalogue import PAPER, ROWS, VGG16
from plainfilm.errors import InputError
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.summary import flops, layers, parameters
from plainfilm.models.vgg import VGG, initialise
from plainfilm.models.zoo import recipe


def test_the_papers_network_has_exactly_its_parameters():
    network = recipe("vgg").build(2, Preprocess())
    per_layer = [layer.parameters for layer in layers(network, (3, 64, 64)) if layer.parameters]
    assert per_layer == [896, 9_248, 18_496, 36_928, 73_856, 147_584, 4_194_816, 1_026]
    assert parameters(network) == sum(per_layer) == 4_482_850


def test_the_papers_layers_in_their_order():
    conv, dense = ["Conv2d", "ReLU"], ["Linear", "ReLU", "Dropout", "Linear"]
    plain = [layer.kind for layer in layers(recipe("vgg").build(2, Preprocess()), (3, 64, 64))]
    assert plain == [*conv, *conv, "MaxPool2d", "Dropout"] * 3 + ["Flatten", *dense]
    normed = [layer.kind for layer in layers(recipe("vgg-bn").build(2, Preprocess()), (3, 64, 64))]
    conv = [*conv, "BatchNorm2d"]  # after the activation, before pooling
    dense = ["Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    assert normed == [*conv, *conv, "MaxPool2d", "Dropout"] * 3 + ["Flatten", *dense]


def test_shapes_and_rates():
    found = layers(recipe("vgg").build(2, Preprocess()), (3, 64, 64))
    assert [layer.shape for layer in found if layer.kind == "MaxPool2d"] == [(32, 32, 32), (64, 16, 16), (128, 8, 8)]
    assert [layer.detail for layer in found if layer.kind == "Dropout"] == ["p = 0.25"] * 3 + ["p = 0.5"]
    assert next(layer.shape for layer in found if layer.kind == "Flatten") == (8192,)


def test_batch_normalisation_has_keras_constants():
    norms = [
        m for m in recipe("vgg-bn").build(2, Preprocess()).modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))
    ]
    assert len(norms) == 7 and {(n.momentum, n.eps) for n in norms} == {(0.01, 1e-3)}


def test_initial_weights_are_glorot_uniform_with_zero_biases_and_repeatable():
    network = VGG(PAPER, 2, 64)
    initialise(network, torch.Generator().manual_seed(0))
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            fan_out, fan_in = layer.weight.shape[0], layer.weight[0].numel()
            fan_out *= layer.weight[0][0].numel() if layer.weight.dim() == 4 else 1
            limit = (6 / (fan_in + fan_out)) ** 0.5
            assert 0.95 * limit < float(layer.weight.detach().abs().max()) <= limit
            assert not layer.bias.any()
    other = VGG(PAPER, 2, 64)
    initialise(other, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


def test_vgg16_is_the_same_builder():
    network = VGG(VGG16, 2, 224)
    assert network.feature_count == 25_088
    assert parameters(network.features) == 14_714_688  # Simonyan & Zisserman 2015, configuration D without its top
    assert sum(layer.kind == "Conv2d" for layer in layers(VGG(VGG16, 2, 32), (3, 32, 32))) == 13


def test_flops_of_a_film_by_hand():
    pairs = [(3, 32, 64), (32, 32, 64), (32, 64, 32), (64, 64, 32), (64, 128, 16), (128, 128, 16)]
    by_hand = sum(2 * 9 * a * b * side**2 for a, b, side in pairs) + 2 * (8192 * 512 + 512 * 2)
    assert flops(recipe("vgg").build(2, Preprocess()), (3, 64, 64)) == by_hand


def test_head_after_features_is_the_network_and_more_classes_and_one_channel_work():
    network = VGG(PAPER, 3, 32, channels=1).eval()
    x = torch.randn(2, 1, 32, 32)
    assert torch.equal(network(x), network.forward_head(network.forward_features(x)))
    assert network(x).shape == (2, 3)


def test_names():
    assert list(ROWS) == ["vgg", "vgg-bn", "vgg16-lr", "vgg16-ft", "vgg16-mlp", "best", "best-gpu"]
    with pytest.raises(InputError, match="Did you mean 'vgg-bn'"):
        recipe("vgg_bn")
    with pytest.raises(InputError, match="size=16 is too small"):
        recipe("vgg16-lr").build(2, Preprocess(size=16, scaling="caffe"))


@pytest.mark.parametrize("name", ["vgg", "vgg-bn"])
def test_activations_in_place_change_no_answer_and_no_gradient(name):
    network = recipe(name).build(2, Preprocess())
    initialise(network, torch.Generator().manual_seed(0))
    apart = deepcopy(network)
    in_place = [layer for layer in apart.modules() if isinstance(layer, nn.ReLU)]
    assert len(in_place) == 7 and all(layer.inplace for layer in in_place)
    for layer in in_place:
        layer.inplace = False
    films = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for mode in (True, False):
        found = []
        for each in (network, apart):
            torch.manual_seed(2)  # the same dropout
            logits = each.train(mode)(films)
            logits.square().sum().backward()
            found.append([logits, *(weight.grad for weight in each.parameters())])
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
