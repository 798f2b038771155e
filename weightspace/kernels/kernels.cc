// What XLA calls: for each network, a function of the other headers.

#include <string>
#include <string_view>
#include <vector>

#include "field.h"
#include "generate.h"
#include "layer.h"
#include "linear.h"
#include "transformer.h"
#include "xla/ffi/api/ffi.h"

namespace weightspace {
namespace {

namespace ffi = xla::ffi;

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Array>;

// Networks: leading axes, of size 1 where an operand serves all of them.

using Dims = ffi::Span<const int64_t>;

class Networks {
 public:
  Networks(Dims result, int own)
      : sizes_(result.begin(), result.end() - own) {
    for (int64_t size : sizes_) count_ *= size;
  }

  int64_t count() const { return count_; }

  // The place of a network in an operand, in floats.
  int64_t Offset(Dims dims, int64_t network) const {
    int64_t place = 0, stride = 1;
    for (size_t i = sizes_.size(); i < dims.size(); ++i) stride *= dims[i];
    for (size_t i = sizes_.size(); i-- > 0;) {
      if (dims[i] != 1) place += network % sizes_[i] * stride;
      stride *= dims[i];
      network /= sizes_[i];
    }
    return place;
  }

 private:
  std::vector<int64_t> sizes_;
  int64_t count_ = 1;
};

// f(place), where place(buffer) is a network's share of a buffer, for all
// networks of a result with `own` axes beside theirs.
template <class F>
void ForNetworks(Dims result, int own, F f) {
  const Networks networks(result, own);
  for (int64_t i = 0; i < networks.count(); ++i) {
    f([&](auto& buffer) {
      return buffer.typed_data() + networks.Offset(buffer.dimensions(), i);
    });
  }
}

template <class F>
ffi::Error WithCell(std::string_view name, F f) {
  if (name == "lstm") {
    f.template operator()<Lstm>();
  } else if (name == "gru") {
    f.template operator()<Gru>();
  } else if (name == "elman") {
    f.template operator()<Elman>();
  } else {
    return ffi::Error::InvalidArgument("no such cell: " + std::string(name));
  }
  return ffi::Error::Success();
}

// Size of the axis that is `place`th from the end.
int64_t Axis(Dims dims, int place) { return dims[dims.size() - place]; }

// All of the remaining arguments or results, in order.
template <class Remaining, class T>
ffi::Error Read(const Remaining& remaining, std::vector<T>& arrays) {
  for (size_t i = 0; i < remaining.size(); ++i) {
    const auto array = remaining.template get<Array>(i);
    if (array.has_error()) return array.error();
    arrays.push_back(*array);
  }
  return ffi::Error::Success();
}

// `layers` are wx, wh, bx and bh of each layer in turn.
ffi::Error GenerateStringsCall(std::string_view cell, int32_t first,
                               Array draws, Array w, Array b,
                               ffi::RemainingArgs layers,
                               ffi::Result<ffi::Buffer<ffi::S32>> tokens,
                               Result log_probs) {
  std::vector<Array> arrays;
  if (const auto error = Read(layers, arrays); error.failure()) return error;
  const Dims in = draws.dimensions(), of_w = w.dimensions();
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(log_probs->dimensions(), 3, [&](auto at) {
      std::vector<LayerWeights> weights;
      for (size_t i = 0; i < arrays.size(); i += 4) {
        const Dims of_wx = arrays[i].dimensions();
        weights.push_back({Axis(of_wx, 1), Axis(of_wx, 2), at(arrays[i]),
                           at(arrays[i + 1]), at(arrays[i + 2]),
                           at(arrays[i + 3])});
      }
      Generate<Cell>(Axis(in, 2), Axis(in, 1), first, weights,
                     {Axis(of_w, 1), Axis(of_w, 2), at(w), at(b)}, at(draws),
                     at(*tokens), at(*log_probs));
    });
  });
}

ffi::Error LayerForwardCall(std::string_view cell, bool halves, Array xs,
                            Array wx, Array wh, Array bx, Array bh,
                            Result gates, Result hs, Result memories) {
  const Dims in = xs.dimensions(), out = hs->dimensions();
  const Sizes n = {Axis(in, 3), Axis(in, 2), Axis(in, 1), Axis(out, 1)};
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(out, 3, [&](auto at) {
      Forward<Cell>(n, at(xs), at(wx), at(wh), at(bx), at(bh), at(*gates),
                    at(*hs), Cell::kMemory ? at(*memories) : nullptr, halves);
    });
  });
}

ffi::Error LayerBackwardCall(std::string_view cell, bool halves, Array gates,
                             Array wh, Array hs, Array memories, Array dhs,
                             Result das) {
  const Dims in = dhs.dimensions();
  const Sizes n = {Axis(in, 3), Axis(in, 2), 0, Axis(in, 1)};
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(das->dimensions(), 3, [&](auto at) {
      if (at(gates) != at(*das)) {
        std::copy_n(at(gates), n.steps * n.batch * Cell::kSlots * n.hidden,
                    at(*das));
      }
      Backward<Cell>(n, at(wh), at(hs), Cell::kMemory ? at(memories) : nullptr,
                     at(dhs), at(*das), halves);
    });
  });
}

ffi::Error LayerWeightsCall(std::string_view cell, bool halves, Array xs,
                            Array hs, Array das, Result dwx, Result dwh,
                            Result dbx, Result dbh) {
  const Dims in = xs.dimensions(), out = dwx->dimensions();
  const Sizes n = {Axis(in, 3), Axis(in, 2), Axis(in, 1), Axis(out, 2)};
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(out, 3, [&](auto at) {
      WeightGradients<Cell>(n, at(xs), at(hs), at(das), at(*dwx), at(*dwh),
                            at(*dbx), at(*dbh), halves);
    });
  });
}

ffi::Error LayerInputsCall(std::string_view cell, bool halves, Array wx,
                           Array das, Result dxs) {
  const Dims in = wx.dimensions(), out = dxs->dimensions();
  const Sizes n = {Axis(out, 3), Axis(out, 2), Axis(out, 1), Axis(in, 2)};
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(out, 3, [&](auto at) {
      InputGradients<Cell>(n, at(wx), at(das), at(*dxs), halves);
    });
  });
}

ffi::Error LinearForwardCall(bool halves, Array w, Array b, Array xs,
                             Result ys) {
  const Dims in = xs.dimensions(), out = ys->dimensions();
  ForNetworks(out, 2, [&](auto at) {
    ApplyLinear(Axis(in, 2), Axis(in, 1), Axis(out, 1), at(w), at(b), at(xs),
                at(*ys), halves);
  });
  return ffi::Error::Success();
}

ffi::Error LinearBackwardCall(bool halves, Array w, Array xs, Array dys,
                              Result dw, Result db, Result dxs) {
  const Dims in = xs.dimensions(), out = dys.dimensions();
  ForNetworks(dw->dimensions(), 2, [&](auto at) {
    LinearGradients(Axis(in, 2), Axis(in, 1), Axis(out, 1), at(w), at(xs),
                    at(dys), at(*dw), at(*db), at(*dxs), halves);
  });
  return ffi::Error::Success();
}

ffi::Error FieldForwardCall(bool halves, Array x, Array w, Array of_rows,
                            Array of_columns, Result y, Result over_columns,
                            Result over_rows) {
  const Dims in = x.dimensions(), out = y->dimensions();
  const FieldSizes n = {Axis(in, 3), Axis(in, 2), Axis(in, 1), Axis(out, 1)};
  ForNetworks(out, 3, [&](auto at) {
    UpdateField(n, at(x), at(w), at(of_rows), at(of_columns), at(*y),
                 at(*over_columns), at(*over_rows), halves);
  });
  return ffi::Error::Success();
}

ffi::Error FieldBackwardCall(bool halves, Array x, Array w, Array y, Array dy,
                             Array dover_columns, Array dover_rows, Result dx,
                             Result dw, Result dof_rows, Result dof_columns) {
  const Dims in = x.dimensions(), out = y.dimensions();
  const FieldSizes n = {Axis(in, 3), Axis(in, 2), Axis(in, 1), Axis(out, 1)};
  ForNetworks(dx->dimensions(), 3, [&](auto at) {
    FieldGradients(n, at(x), at(w), at(y), at(dy), at(dover_columns),
                  at(dover_rows), at(*dx), at(*dw), at(*dof_rows),
                  at(*dof_columns), halves);
  });
  return ffi::Error::Success();
}

// each(sizes, block, at) for blocks of a transformer, of x [B, T, D] and z [B,
// kept, D]; those of a network of `result` have the same params.
template <class F>
ffi::Error WithBlock(int64_t heads, bool backward, Array x, Dims z, Dims result,
                     ffi::RemainingArgs args, F each) {
#if WEIGHTSPACE_HALVES
  if (HaveHalves() && args.size() == kBlockParams) {
    std::vector<Array> arrays;
    if (const auto error = Read(args, arrays); error.failure()) return error;
    const Dims in = x.dimensions();
    const BlockSizes n = {Axis(in, 2), Axis(z, 2), Axis(in, 1), heads,
                          Axis(arrays[kB1].dimensions(), 1)};
    ForNetworks(result, 3, [&](auto at) {
      BlockParams<const float> params;
      for (int i = 0; i < kBlockParams; ++i) params[i] = at(arrays[i]);
      TransformerBlock block(n, params, backward);
      each(n, block, at);
    });
    return ffi::Error::Success();
  }
#endif
  return ffi::Error::InvalidArgument("no tiles of bfloat16 on this machine");
}

ffi::Error BlockForwardCall(int64_t heads, Array x, ffi::RemainingArgs params,
                            Result z) {
  const Dims out = z->dimensions();
  return WithBlock(heads, false, x, out, out, params,
                   [&](BlockSizes n, auto& block, auto at) {
    for (int64_t i = 0; i < Axis(out, 3); ++i) {
      block.Forward(at(x) + i * n.tokens * n.width,
                    at(*z) + i * n.kept * n.width);
    }
  });
}

ffi::Error BlockBackwardCall(int64_t heads, Array x, Array dz,
                             ffi::RemainingArgs params, Result dx,
                             ffi::RemainingRets gradients) {
  std::vector<Result> results;
  if (const auto error = Read(gradients, results); error.failure()) {
    return error;
  }
  return WithBlock(heads, true, x, dz.dimensions(), dx->dimensions(), params,
                   [&](BlockSizes n, auto& block, auto at) {
    for (int64_t i = 0; i < Axis(dx->dimensions(), 3); ++i) {
      block.Backward(at(x) + i * n.tokens * n.width,
                     at(dz) + i * n.kept * n.width,
                     at(*dx) + i * n.tokens * n.width);
    }
    BlockParams<float> sums;
    for (int i = 0; i < kBlockParams; ++i) sums[i] = at(*results[i]);
    block.Gradients(sums);
  });
}

// a [M, K] b [K, N], but for the factor that lies turned, if one does.
ffi::Error ProductCall(std::string_view turned, bool halves, Array a, Array b,
                       Result c) {
  const Dims of_a = a.dimensions(), out = c->dimensions();
  const int64_t rows = Axis(out, 2), columns = Axis(out, 1);
  const int64_t depth = Axis(of_a, turned == "left" ? 2 : 1);
  ForNetworks(out, 2, [&](auto at) {
    if (turned == "left") {
      SumOuter(depth, rows, columns, at(a), rows, at(b), at(*c), halves);
    } else {
      Product(rows, columns, depth, at(a), depth, at(b), turned == "right",
              at(*c), columns, nullptr, halves);
    }
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    GenerateStrings, GenerateStringsCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell").Attr<int32_t>("first")
        .Arg<Array>().Arg<Array>().Arg<Array>().RemainingArgs()
        .Ret<ffi::Buffer<ffi::S32>>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LayerForward, LayerForwardCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell").Attr<bool>("halves")
        .Arg<Array>().Arg<Array>()
        .Arg<Array>().Arg<Array>().Arg<Array>().Ret<Array>().Ret<Array>()
        .Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LayerBackward, LayerBackwardCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell").Attr<bool>("halves")
        .Arg<Array>().Arg<Array>()
        .Arg<Array>().Arg<Array>().Arg<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LayerWeights, LayerWeightsCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell").Attr<bool>("halves")
        .Arg<Array>().Arg<Array>()
        .Arg<Array>().Ret<Array>().Ret<Array>().Ret<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LayerInputs, LayerInputsCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell").Attr<bool>("halves")
        .Arg<Array>().Arg<Array>()
        .Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LinearForward, LinearForwardCall,
    ffi::Ffi::Bind().Attr<bool>("halves")
        .Arg<Array>().Arg<Array>().Arg<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LinearBackward, LinearBackwardCall,
    ffi::Ffi::Bind().Attr<bool>("halves")
        .Arg<Array>().Arg<Array>().Arg<Array>().Ret<Array>()
        .Ret<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    BlockForward, BlockForwardCall,
    ffi::Ffi::Bind().Attr<int64_t>("heads").Arg<Array>().RemainingArgs()
        .Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    BlockBackward, BlockBackwardCall,
    ffi::Ffi::Bind().Attr<int64_t>("heads").Arg<Array>().Arg<Array>()
        .RemainingArgs().Ret<Array>().RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    FieldForward, FieldForwardCall,
    ffi::Ffi::Bind().Attr<bool>("halves").Arg<Array>().Arg<Array>().Arg<Array>()
        .Arg<Array>().Ret<Array>().Ret<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    FieldBackward, FieldBackwardCall,
    ffi::Ffi::Bind().Attr<bool>("halves").Arg<Array>().Arg<Array>().Arg<Array>()
        .Arg<Array>().Arg<Array>().Arg<Array>().Ret<Array>().Ret<Array>()
        .Ret<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    MatrixProduct, ProductCall,
    ffi::Ffi::Bind().Attr<std::string_view>("turned").Attr<bool>("halves")
        .Arg<Array>().Arg<Array>()
        .Ret<Array>());

// Whether halves serve on this machine.
extern "C" bool HalvesServeHere() { return HaveHalves(); }

}  // namespace weightspace
