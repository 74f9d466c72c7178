import numpy as np
import torch

from trisk.nn import CompositionStream, EquivariantBackbone, StructureStream, TriForcesEncoder
from trisk.nn.streams import ElementVectors
from trisk.structures.elements import atom_feature_table

_PROPERTIES = torch.from_numpy(np.nan_to_num(atom_feature_table()))
_NA, _CL, _K, _BR = 11, 17, 19, 35


def alike(vectors, one, other):
    weight = vectors.weight.detach()
    return float(torch.cosine_similarity(weight[one], weight[other], dim=0))


def test_start_from__relatives_are_alike_and_strangers_are_not():
    torch.manual_seed(0)
    vectors = ElementVectors(64)
    vectors.start_from(_PROPERTIES)
    assert alike(vectors, _NA, _K) > 0.6 < alike(vectors, _CL, _BR)
    assert alike(vectors, _NA, _CL) < 0.3


def test_start_from__every_element_has_its_own_vector_of_variance_one():
    torch.manual_seed(0)
    vectors = ElementVectors(256)
    vectors.start_from(_PROPERTIES)
    weight = vectors.weight.detach()
    assert abs(float(weight[1:].var()) - 1) < 0.1
    # Also those whose properties nobody has measured.
    distances = torch.cdist(weight, weight) + 100 * torch.eye(len(weight))
    assert float(distances.min()) > 1


def test_start_from__hidden_element_has_no_properties():
    vectors = ElementVectors(8)
    torch.manual_seed(0)
    vectors.start_from(_PROPERTIES)
    hidden = vectors.weight[0].clone()
    changed = _PROPERTIES.clone()
    changed[0] = torch.nan
    torch.manual_seed(0)
    vectors.start_from(changed)
    torch.testing.assert_close(vectors.weight[0], hidden, rtol=0, atol=0)
    assert torch.isfinite(vectors.weight).all()


def test_start_elements_from__all_streams_that_see_elements_start_from_properties():
    torch.manual_seed(0)
    encoder = TriForcesEncoder(
        CompositionStream(64, 1, 4), StructureStream(4.0, 8), EquivariantBackbone(4.0, 64, 1)
    )
    encoder.start_elements_from(_PROPERTIES)
    for vectors in (encoder.composition.embed, encoder.interaction.embed):
        assert alike(vectors, _NA, _K) > 0.6 > alike(vectors, _NA, _CL)
