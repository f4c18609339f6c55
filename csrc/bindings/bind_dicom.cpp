#include <pybind11/pybind11.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "bindings/bindings.hpp"
#include "core/error.hpp"
#include "core/large_pages.hpp"
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

// Up to `size` bytes of an open file, fewer where it ends before; raises OSError.
py::bytes bind_read_bytes(int descriptor, std::size_t size) {
  PyObject* object = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
  if (object == nullptr) throw py::error_already_set();
  char* const bytes = PyBytes_AS_STRING(object);
  prefer_large_pages(bytes, size);
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
    } else if (error != EINTR || PyErr_CheckSignals() != 0) {
      Py_DECREF(object);
      if (error != EINTR) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
      }
      throw py::error_already_set();
    }
  }
  if (done < size && _PyBytes_Resize(&object, static_cast<Py_ssize_t>(done)) != 0) throw py::error_already_set();
  return py::reinterpret_steal<py::bytes>(object);
}

}  // namespace

void bind_dicom(py::module_& module) {
  module.def("count_jpeg_blocks", &bind_count_jpeg_blocks, py::arg("stream"), py::kw_only(), py::arg("begin"),
             py::arg("end"), py::arg("dc"), py::arg("ac"), py::arg("blocks"), py::arg("restart_interval"));
  module.def("read_bytes", &bind_read_bytes, py::arg("descriptor"), py::arg("size"));
}

}  // namespace lcx::bindings
