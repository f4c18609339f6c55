#!/usr/bin/env bash
# Builds, tests and measures lcx_fast on a machine with an NVIDIA GPU; one table and one JSON at the end.
#
#   benchmarks/gpu.sh [--quick] [--out DIR] [--python PYTHON] [--wheels DIR] [--skip STEP]... [--dry-run]
#   benchmarks/gpu.sh --collect DIR
#
#   --quick        fewer repetitions, smaller sets
#   --out DIR      results.json, table.md and every step's log (default: gpu-results)
#   --python P     a Python with torch and CuPy (default: python3)
#   --wheels DIR   no network: tools come from this folder alone, and only the kernels' own tests run
#   --collect DIR  on a machine with a network and the same Python: download these tools and do nothing else
#   --skip STEP    build, tests, sanitizer or measure; may be given several times
#   --dry-run      no GPU: say what would be done, and run the measuring program on the CPU's emulation of CUDA, which
#                  shows that it works and measures nothing
#
# Needs nvcc, a C++20 compiler, nvidia-smi, and a Python with torch and CuPy. TensorRT, MONAI and onnxruntime-gpu are
# measured where that Python has them; without TensorRT the line runs torch's network, captured, and says so. Exit codes:
# 0 done, 1 a step failed or a result is not the CPU's, 2 bad usage, 3 something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

quick="" out=gpu-results python=python3 skip=" " dry="" wheels="" collect=""
tools=(scikit-build-core pybind11 cmake ninja pytest pytest-timeout hypothesis pydicom)
die() { echo "gpu.sh: $2" >&2; exit "$1"; }
while [ $# -gt 0 ]; do
  case "$1" in
    --quick) quick=--quick ;;
    --dry-run) dry=1 ;;
    --out | --python | --skip | --wheels | --collect)
      [ $# -ge 2 ] || die 2 "$1 needs a value"
      case "$1" in
        --out) out=$2 ;;
        --python) python=$2 ;;
        --wheels) wheels=$2 ;;
        --collect) collect=$2 ;;
        --skip)
          case "$2" in build | tests | sanitizer | measure) skip="$skip$2 " ;;
            *) die 2 "--skip $2; accepted: build, tests, sanitizer, measure" ;;
          esac ;;
      esac
      shift ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) die 2 "unknown option $1; see --help" ;;
  esac
  shift
done

if [ -n "$collect" ]; then
  exec "$python" -m pip download --disable-pip-version-check --quiet -c constraints.txt --dest "$collect" "${tools[@]}"
fi
[ -z "$wheels" ] || [ -d "$wheels" ] || die 2 "--wheels $wheels: no such folder; --collect fills one"

wanted() { [[ $skip != *" $1 "* ]]; }
mkdir -p "$out"
step() { # step NAME LOG COMMAND...: runs it, its output into LOG; shows the end of it where it fails
  local name=$1 log=$out/$2 started=$SECONDS
  shift 2
  echo "== $name"
  if [ -n "$dry" ]; then printf '   %q' "$@"; echo; return 0; fi
  if "$@" >"$log" 2>&1; then
    echo "   done in $((SECONDS - started)) s; $log"
  else
    tail -n 30 "$log" >&2
    die 1 "$name failed; all of it is in $log"
  fi
}

if [ -z "$dry" ]; then
  for tool in nvcc nvidia-smi c++; do command -v "$tool" >/dev/null || die 3 "no $tool on PATH"; done
  for package in torch cupy; do
    "$python" -c "import $package" 2>/dev/null || die 3 "$python has no $package; --python names another one"
  done
  "$python" -c 'import cupy; raise SystemExit(cupy.cuda.runtime.getDeviceCount() == 0)' || die 3 "no usable GPU"
fi

# An environment of its own that sees the given Python's torch, CuPy and peers.
venv=$out/venv bin=$out/venv/bin
[ -n "$dry" ] && bin=$(dirname "$(command -v "$python")")
if wanted build; then
  step "environment" venv.log "$python" -m venv --system-site-packages "$venv"
  from=() package='.[dev]'
  if [ -n "$wheels" ]; then from=(--no-index --find-links "$wheels") package=.; fi
  step "tools" tools.log "$bin/pip" install "${from[@]}" -c constraints.txt "${tools[@]}"
  [ -z "$wheels" ] || from+=(--no-deps)
  step "build with CUDA" build.log "$bin/pip" install "${from[@]}" -c constraints.txt --no-build-isolation \
    --editable "$package" -C cmake.define.LCX_CUDA=ON -C cmake.define.LCX_CUDA_ARCHITECTURES=native
fi
if wanted tests; then
  files=()
  [ -z "$wheels" ] || files=(tests/test_cuda_{arrays,breast,overlaps,regions,tiles,values}.py)
  step "every CUDA test, none skipped" tests.log env LCX_REQUIRE_CUDA=1 "$bin/python" -m pytest -q -m cuda "${files[@]}"
fi
if wanted sanitizer; then
  for tool in memcheck racecheck synccheck initcheck; do
    step "compute-sanitizer $tool" "$tool.log" compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$bin/python" benchmarks/gpu_run.py --once --size 700x500
  done
fi
if wanted measure; then
  if [ -n "$dry" ]; then
    "$python" benchmarks/gpu_run.py --emulate --quick --size 700x500 --out "$out"
  else
    nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit --format=csv >"$out/card.csv"
    "$bin/python" benchmarks/gpu_run.py $quick --out "$out"
  fi
fi
