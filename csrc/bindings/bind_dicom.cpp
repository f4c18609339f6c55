#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/call.hpp"
#include "core/error.hpp"
#include "dicom/jpeg_scan.hpp"
#include "dicom/swap_bytes.hpp"

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

// Up to `size` bytes of an open file, fewer where it ends before; raises OSError.
py::memoryview bind_read_bytes(int descriptor, std::size_t size) {
  KeptMemory memory(size);
  char* const bytes = static_cast<char*>(memory.data());
  std::size_t done = 0;
  while (done < size) {
    ssize_t got = 0;
    int error = 0;
    {
      const py::gil_scoped_release release;
      got = ::read(descriptor, bytes + done, size - done);
      error = errno;
    }
    if (got == 0) break;
    if (got > 0) {
      done += static_cast<std::size_t>(got);
    } else if (error != EINTR) {
      errno = error;
      PyErr_SetFromErrno(PyExc_OSError);
      throw py::error_already_set();
    } else if (PyErr_CheckSignals() != 0) {
      throw py::error_already_set();
    }
  }
  const py::array kept = kept_array(std::move(memory), {static_cast<py::ssize_t>(done)}, dtype_name<std::uint8_t>());
  kept.attr("setflags")(py::arg("write") = false);
  return py::memoryview(kept);
}

// The samples in the other byte order, uint16 of the same shape, and the largest of them.
std::pair<py::array, std::uint16_t> bind_swap_bytes(const py::array& samples) {
  require_argument(samples.itemsize() == sizeof(std::uint16_t), "samples of ", samples.itemsize(),
                   " bytes; accepted: 2");
  require_argument((samples.flags() & py::array::c_style) != 0, "samples are not dense; pass a copy");
  const std::vector<py::ssize_t> shape(samples.shape(), samples.shape() + samples.ndim());
  const auto* const from = static_cast<const unsigned char*>(samples.data());
  KeptMemory memory(static_cast<std::size_t>(samples.nbytes()));
  std::uint16_t largest = 0;
  {
    const py::gil_scoped_release release;
    largest = swap_bytes(from, static_cast<std::uint16_t*>(memory.data()), samples.size());
  }
  return {kept_array(std::move(memory), shape, dtype_name<std::uint16_t>()), largest};
}

}  // namespace

void bind_dicom(py::module_& module) {
  module.def("count_jpeg_blocks", &bind_count_jpeg_blocks, py::arg("stream"), py::kw_only(), py::arg("begin"),
             py::arg("end"), py::arg("dc"), py::arg("ac"), py::arg("blocks"), py::arg("restart_interval"));
  module.def("read_bytes", &bind_read_bytes, py::arg("descriptor"), py::arg("size"));
  module.def("swap_bytes", &bind_swap_bytes, py::arg("samples"));
}

}  // namespace lcx::bindings
