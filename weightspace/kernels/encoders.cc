// Parts of encoders, as XLA calls them.

#include "calls.h"
#include "field.h"
#include "transformer.h"

namespace weightspace {
namespace {

ffi::Error FieldForwardCall(int64_t halves, Array x, Array w, Array of_rows,
                            Array of_columns, Result y, Result over_columns,
                            Result over_rows) {
  const Dims in = x.dimensions(), out = y->dimensions();
  const FieldSizes n = {Axis(in, 3), Axis(in, 2), Axis(in, 1), Axis(out, 1)};
  ShareNetworks(out, 3, [&](auto at) {
    UpdateField(n, at(x), at(w), at(of_rows), at(of_columns), at(*y),
                at(*over_columns), at(*over_rows), halves);
  });
  return ffi::Error::Success();
}

ffi::Error FieldBackwardCall(int64_t halves, Array x, Array w, Array y,
                             Array dy, Array dover_columns, Array dover_rows,
                             Result dx, Result dw, Result dof_rows,
                             Result dof_columns) {
  const Dims in = x.dimensions(), out = y.dimensions();
  const FieldSizes n = {Axis(in, 3), Axis(in, 2), Axis(in, 1), Axis(out, 1)};
  ShareNetworks(dx->dimensions(), 3, [&](auto at) {
    FieldGradients(n, at(x), at(w), at(y), at(dy), at(dover_columns),
                   at(dover_rows), at(*dx), at(*dw), at(*dof_rows),
                   at(*dof_columns), halves);
  });
  return ffi::Error::Success();
}

// each<H>(sizes, params, at) for blocks of a transformer, of x [B, T, D] and z
// [B, kept, D]; those of a network of `result` have the same params.
template <class F>
ffi::Error WithBlocks(int64_t halves, int64_t heads, Array x, Dims z,
                      Dims result, ffi::RemainingArgs args, F each) {
  if (halves < 1 || halves > HalvesHere()) {
    return ffi::Error::InvalidArgument(
        "a block's numbers can't have " + std::to_string(halves) +
        " halves on this machine, at most " + std::to_string(HalvesHere()));
  }
  if (args.size() != kBlockParams) {
    return ffi::Error::InvalidArgument(
        "a block has " + std::to_string(kBlockParams) + " params, got " +
        std::to_string(args.size()));
  }
  std::vector<Array> arrays;
  if (const auto error = Read(args, arrays); error.failure()) return error;
  const Dims in = x.dimensions();
  const BlockSizes n = {Axis(in, 2), Axis(z, 2), Axis(in, 1), heads,
                        Axis(arrays[kB1].dimensions(), 1)};
  ForNetworks(result, 3, [&](auto at) {
    BlockParams<const float> params;
    for (int i = 0; i < kBlockParams; ++i) params[i] = at(arrays[i]);
    WithHalves(halves, [&]<int H>() {
      each.template operator()<H>(n, params, at);
    });
  });
  return ffi::Error::Success();
}

ffi::Error BlockForwardCall(int64_t halves, int64_t heads, Array x,
                            ffi::RemainingArgs params, Result z,
                            Result softmax) {
  const Dims out = z->dimensions();
  return WithBlocks(halves, heads, x, out, out, params,
                    [&]<int H>(auto n, auto p, auto at) {
    ApplyBlocks<H>(n, p, Axis(out, 3), at(x), at(*z), at(*softmax));
  });
}

ffi::Error BlockBackwardCall(int64_t halves, int64_t heads, Array x,
                             Array softmax, Array dz,
                             ffi::RemainingArgs params, Result dx,
                             ffi::RemainingRets gradients) {
  std::vector<Result> results;
  if (const auto error = Read(gradients, results); error.failure()) {
    return error;
  }
  const Dims out = dx->dimensions();
  return WithBlocks(halves, heads, x, dz.dimensions(), out, params,
                    [&]<int H>(auto n, auto p, auto at) {
    BlockParams<float> sums;
    for (int i = 0; i < kBlockParams; ++i) sums[i] = at(*results[i]);
    BlockGradients<H>(n, p, Axis(out, 3), at(x), at(softmax), at(dz), at(*dx),
                      sums);
  });
}

// a [M, K] b [K, N], but for the factor that lies turned, if one does.
ffi::Error ProductCall(std::string_view turned, int64_t halves, Array a,
                       Array b, Result c) {
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

// The same arrays, once others were helped.
ffi::Error MeetCall(int64_t devices, ffi::RunId run,
                    ffi::RemainingArgs arrays, ffi::RemainingRets same) {
  std::vector<Array> from;
  std::vector<Result> to;
  if (const auto error = Read(arrays, from); error.failure()) return error;
  if (const auto error = Read(same, to); error.failure()) return error;
  Workers::All().Meet(run.run_id, devices);
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i].typed_data() != to[i]->typed_data()) {
      std::copy_n(from[i].typed_data(), from[i].element_count(),
                  to[i]->typed_data());
    }
  }
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    FieldForward, FieldForwardCall,
    ffi::Ffi::Bind().Attr<int64_t>("halves").Arg<Array>().Arg<Array>()
        .Arg<Array>().Arg<Array>().Ret<Array>().Ret<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    FieldBackward, FieldBackwardCall,
    ffi::Ffi::Bind().Attr<int64_t>("halves").Arg<Array>().Arg<Array>()
        .Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>().Ret<Array>()
        .Ret<Array>().Ret<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    BlockForward, BlockForwardCall,
    ffi::Ffi::Bind().Attr<int64_t>("halves").Attr<int64_t>("heads")
        .Arg<Array>().RemainingArgs().Ret<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    BlockBackward, BlockBackwardCall,
    ffi::Ffi::Bind().Attr<int64_t>("halves").Attr<int64_t>("heads")
        .Arg<Array>().Arg<Array>().Arg<Array>().RemainingArgs().Ret<Array>()
        .RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    MatrixProduct, ProductCall,
    ffi::Ffi::Bind().Attr<std::string_view>("turned").Attr<int64_t>("halves")
        .Arg<Array>().Arg<Array>()
        .Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    Meet, MeetCall,
    ffi::Ffi::Bind().Attr<int64_t>("devices").Ctx<ffi::RunId>().RemainingArgs()
        .RemainingRets());

// Most halves of a number that serve on this machine.
extern "C" int64_t MostHalves() { return HalvesHere(); }

// How often a thread helped another so far.
extern "C" int64_t TimesHelped() { return Workers::All().helped(); }

}  // namespace weightspace
