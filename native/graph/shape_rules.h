// The shape rules of the op table (graph/op.cpp): what each op needs of its inputs and what it gives. They
// speak of (batch, …) activations; see docs/architecture.md for the layout. A broken rule is a BuildError
// that says what was expected.
#pragma once

#include <span>

#include "base/shape.h"
#include "graph/op.h"

namespace tendon::shape_rules {

using Shapes = std::span<const Shape>;

Shape same(const Attrs&, Shapes);
Shape source_shape(const Attrs&, Shapes);
Shape binary_shape(const Attrs&, Shapes);
Shape linear_shape(const Attrs&, Shapes);
Shape conv1d_shape(const Attrs&, Shapes);
Shape conv_transpose1d_shape(const Attrs&, Shapes);
Shape conv2d_shape(const Attrs&, Shapes);
Shape max_pool2d_shape(const Attrs&, Shapes);
Shape batch_norm_shape(const Attrs&, Shapes);
Shape group_norm_shape(const Attrs&, Shapes);
Shape row_norm_shape(const Attrs&, Shapes);
Shape concat_shape(const Attrs&, Shapes);
Shape slice_shape(const Attrs&, Shapes);
Shape reshape_shape(const Attrs&, Shapes);
Shape permute_shape(const Attrs&, Shapes);
Shape expand_shape(const Attrs&, Shapes);
Shape attention_shape(const Attrs&, Shapes);
Shape matmul_shape(const Attrs&, Shapes);
Shape reduce_shape(const Attrs&, Shapes);
Shape gather_shape(const Attrs&, Shapes);

}  // namespace tendon::shape_rules
