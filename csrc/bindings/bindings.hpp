#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/find_lesions/find_lesions.hpp"

namespace lcx::bindings {

/// Throws Error(kInvalidArgument) for any other name than "gaussian" and "constant".
TileWeights weights_of(const std::string& name);

/// What find_lesions gives to Python.
pybind11::dict lesion_table(const Lesions& lesions);

void bind_images(pybind11::module_& module);
void bind_tiles(pybind11::module_& module);
void bind_regions(pybind11::module_& module);
void bind_curves(pybind11::module_& module);
void bind_engine(pybind11::module_& module);
void bind_line(pybind11::module_& module);
void bind_evaluation(pybind11::module_& module);
void bind_emulation(pybind11::module_& module);  ///< in tests/cuda_on_cpu
void bind_coco(pybind11::module_& module);
void bind_dicom(pybind11::module_& module);
void bind_lesions(pybind11::module_& module);

}  // namespace lcx::bindings
