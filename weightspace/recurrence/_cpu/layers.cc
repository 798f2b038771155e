// Layers of networks, as XLA calls them.

#include "calls.h"

namespace weightspace {
namespace {

ffi::Error LayerForwardCall(std::string_view cell, Array xs, Array wx, Array wh,
                            Array bx, Array bh, Result gates, Result hs,
                            Result memories) {
  const Dims in = xs.dimensions(), out = hs->dimensions();
  const Sizes n = {Axis(in, 3), Axis(in, 2), Axis(in, 1), Axis(out, 1)};
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(out, 3, [&](auto at) {
      Forward<Cell>(n, at(xs), at(wx), at(wh), at(bx), at(bh), at(*gates),
                    at(*hs), Cell::kMemory ? at(*memories) : nullptr);
    });
  });
}

ffi::Error LayerBackwardCall(std::string_view cell, Array gates, Array wh,
                             Array hs, Array memories, Array dhs, Result das) {
  const Dims in = dhs.dimensions();
  const Sizes n = {Axis(in, 3), Axis(in, 2), 0, Axis(in, 1)};
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(das->dimensions(), 3, [&](auto at) {
      if (at(gates) != at(*das)) {
        std::copy_n(at(gates), n.steps * n.batch * Cell::kSlots * n.hidden,
                    at(*das));
      }
      Backward<Cell>(n, at(wh), at(hs), Cell::kMemory ? at(memories) : nullptr,
                     at(dhs), at(*das));
    });
  });
}

ffi::Error LayerWeightsCall(std::string_view cell, Array xs, Array hs,
                            Array das, Result dwx, Result dwh, Result dbx,
                            Result dbh) {
  const Dims in = xs.dimensions(), out = dwx->dimensions();
  const Sizes n = {Axis(in, 3), Axis(in, 2), Axis(in, 1), Axis(out, 2)};
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(out, 3, [&](auto at) {
      WeightGradients<Cell>(n, at(xs), at(hs), at(das), at(*dwx), at(*dwh),
                            at(*dbx), at(*dbh));
    });
  });
}

ffi::Error LayerInputsCall(std::string_view cell, Array wx, Array das,
                           Result dxs) {
  const Dims in = wx.dimensions(), out = dxs->dimensions();
  const Sizes n = {Axis(out, 3), Axis(out, 2), Axis(out, 1), Axis(in, 2)};
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(out, 3, [&](auto at) {
      InputGradients<Cell>(n, at(wx), at(das), at(*dxs));
    });
  });
}

// ys [rows, outputs] = xs [rows, inputs] w^T + b; w [outputs, inputs].
ffi::Error LinearForwardCall(Array w, Array b, Array xs, Result ys) {
  const Dims in = xs.dimensions(), out = ys->dimensions();
  ForNetworks(out, 2, [&](auto at) {
    Product(Axis(in, 2), Axis(out, 1), Axis(in, 1), at(xs), Axis(in, 1), at(w),
            /*turned=*/true, at(*ys), Axis(out, 1), at(b));
  });
  return ffi::Error::Success();
}

ffi::Error LinearBackwardCall(Array w, Array xs, Array dys, Result dw,
                              Result db, Result dxs) {
  const Dims in = xs.dimensions(), out = dys.dimensions();
  ForNetworks(dw->dimensions(), 2, [&](auto at) {
    const int64_t rows = Axis(in, 2), inputs = Axis(in, 1);
    const int64_t outputs = Axis(out, 1);
    SumOuter(rows, outputs, inputs, at(dys), outputs, at(xs), at(*dw));
    SumRows(rows, outputs, at(dys), outputs, at(*db));
    Product(rows, inputs, outputs, at(dys), outputs, at(w), /*turned=*/false,
            at(*dxs), inputs, nullptr);
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LayerForward, LayerForwardCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell")
        .Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>()
        .Ret<Array>().Ret<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LayerBackward, LayerBackwardCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell")
        .Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>().Arg<Array>()
        .Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LayerWeights, LayerWeightsCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell")
        .Arg<Array>().Arg<Array>().Arg<Array>()
        .Ret<Array>().Ret<Array>().Ret<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LayerInputs, LayerInputsCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell")
        .Arg<Array>().Arg<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LinearForward, LinearForwardCall,
    ffi::Ffi::Bind().Arg<Array>().Arg<Array>().Arg<Array>().Ret<Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    LinearBackward, LinearBackwardCall,
    ffi::Ffi::Bind().Arg<Array>().Arg<Array>().Arg<Array>()
        .Ret<Array>().Ret<Array>().Ret<Array>());

}  // namespace weightspace
