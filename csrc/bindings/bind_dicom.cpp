#include <pybind11/pybind11.h>

#include <string_view>

#include "bindings/bindings.hpp"
#include "core/error.hpp"
#include "dicom/jpeg_scan.hpp"

namespace py = pybind11;

namespace lcx::bindings {
namespace {

std::int64_t bind_count_jpeg_blocks(const py::bytes& stream, std::size_t begin, std::size_t end, const py::bytes& dc,
                                    const py::bytes& ac, std::int64_t blocks, std::int64_t restart_interval) {
  const std::string_view whole = stream;
  require_argument(begin <= end && end <= whole.size(), "scan from ", begin, " to ", end, " of ", whole.size(),
                   " bytes");
  const JpegScan scan{whole.substr(begin, end - begin), dc, ac, blocks, restart_interval};
  const py::gil_scoped_release release;
  return count_jpeg_blocks(scan);
}

}  // namespace

void bind_dicom(py::module_& module) {
  module.def("count_jpeg_blocks", &bind_count_jpeg_blocks, py::arg("stream"), py::kw_only(), py::arg("begin"),
             py::arg("end"), py::arg("dc"), py::arg("ac"), py::arg("blocks"), py::arg("restart_interval"));
}

}  // namespace lcx::bindings
