# `make demo` and `make test` need nothing but Python 3.11 and this folder; the first call sets up .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
IS_RECENT := import sys; sys.exit(sys.version_info < (3, 11))
# Python 3.11 where there is a choice, since constraints.txt was made for it.
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13 python3.14; do \
    $$name -c '$(IS_RECENT)' 2>/dev/null && command -v $$name && break; done)

MODEL := miniature/model
WORLD := runs/demo-world
# How many texts of the demo need each tool; `make same-rows TEXTS=5 WORLD=runs/small-world DEMO=runs/small` is quick.
TEXTS ?= 30
DEMO := runs/demo
# The tools that know the demo's world.
world_tools = --tools calculator,calendar,qa,search,translation --qa.table $(1)/questions.jsonl \
    --search.index $(1)/index --translation.glossary $(1)/glossary.jsonl
# Where `make train` puts its model, and `make real-text` finds its corpora.
TRAINED ?= runs/model
DATA ?= ../shared/data
# A model that knows nothing of the real world need not be asked as often as the paper asks, nor in full precision: this
# takes an hour on 2 cores instead of five. `make real-text FEWER=` asks as the paper does.
FEWER ?= --search.max-places 1 --search.num-samples 1 --calendar.num-samples 1 \
    --calculator.max-places 5 --calculator.num-samples 2 --max-call-tokens 32 --dtype bfloat16
# How the loop trains the miniature: texts are short, and a model this small takes a high learning rate.
LOOP := runs/loop
LOOP_TEXTS ?= 200
# Of equal calls only the best place is shown: from a call that stands a word before its number the model would learn to
# repeat that word. A quarter of the texts is shown a second time without calls, or the model forgets how a text goes on
# where calls are disabled.
LOOP_TRAINING := --max-steps 200 --batch-size 8 --rows-at-once 4 --max-length 512 --learning-rate 0.0004 \
    --evaluate-every 50 --dtype float32 --zero-stage 2 --num-workers 2 --once-per-text calculator --plain-copies 0.25
# Of `make real`: a model of your own, by name, folder or GGUF file; how many texts a tool is offered, after how many that
# are left out; options of annotate, such as REAL="--as-in-paper".
REAL_RUN := runs/real
REAL_MODEL := $(if $(filter command,$(firstword $(origin MODEL))),$(MODEL),$(REAL_RUN)/gemma-3-270m-q4_k_m.gguf)
REAL_TEXTS ?= 100
REAL_SKIP ?= 0
REAL ?=
# Of `make real-loop`: questions of each benchmark at most, and how it is trained.
REAL_QUESTIONS ?= 200
REAL_TRAINING ?= --max-steps 60 --batch-size 8 --rows-at-once 2 --max-length 256 --learning-rate 0.00005 \
    --evaluate-every 10 --dtype float32 --zero-stage 2 --num-workers 2 --plain-copies 0.25 --num-held-out 40 \
    --as-in-paper
# Number of shards of `make measure`.
SHARDS ?= 1000
# Options of `make bench`, such as BENCH="--model miniature --texts 2"; it takes all cores unless told --threads.
BENCH ?=
# Options of `make simulate`, such as SIMULATE="--texts 10000 --shards 100".
SIMULATE ?=
# Of `make chaos`: decides what is killed, and when.
SEED ?= 1

# With more threads than cores OpenMP is up to 40 times slower. The workers of a run are given their own number.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= $(OMP_NUM_THREADS)
export OPENBLAS_NUM_THREADS ?= $(OMP_NUM_THREADS)
export TOKENIZERS_PARALLELISM ?= false
export RAY_USAGE_STATS_ENABLED ?= 0
# Nothing that is made here may depend on a download.
export HF_HUB_OFFLINE ?= 1

.PHONY: help demo loop second-round test lint format train real real-loop real-text same-rows measure simulate chaos mcp-everything bench \
    bench-decoding bench-filters clean

help:  ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(WORLD)/index/index.json  ## annotate the built-in corpus with the built-in model; run again to resume
	$(call annotate_demo,$(DEMO),--shard-size 16)
	@echo
	$(BIN)/python -m toolformer_ray.miniature.report --run $(DEMO) --world $(WORLD) --model $(MODEL)
	@echo
	$(BIN)/toolformer show $(DEMO) --number 5

loop: $(INSTALLED)  ## annotate, fine-tune on C*, ask with tools and without, against the same on C (20 minutes on 2 cores)
	$(MAKE) demo TEXTS=$(LOOP_TEXTS) WORLD=$(LOOP)/world DEMO=$(LOOP)/first-run
	$(BIN)/python -m toolformer_ray.miniature.unseen_texts --out $(LOOP)/unseen --seed 2
	$(call ask_model,$(MODEL),before)
	$(call finetune_loop,first-run,plain,--without-calls)
	$(call ask_model,$(LOOP)/plain,plain)
	$(call finetune_loop,first-run,tuned,)
	$(call ask_model,$(LOOP)/tuned,tuned)
	$(BIN)/python -m toolformer_ray.miniature.loop_report --loop $(LOOP)

second-round: | $(LOOP)/tuned.parquet  ## the loop again with the fine-tuned model as the annotator (15 minutes more)
	$(call annotate_demo,$(LOOP)/second-run,--shard-size 16 --second-round,$(LOOP)/tuned,$(LOOP)/world)
	$(BIN)/python -m toolformer_ray.miniature.report --run $(LOOP)/second-run --world $(LOOP)/world --model $(LOOP)/tuned
	$(call finetune_loop,second-run,second,)
	$(call ask_model,$(LOOP)/second,second)
	$(BIN)/python -m toolformer_ray.miniature.loop_report --loop $(LOOP)

$(LOOP)/tuned.parquet:
	$(MAKE) loop

# Files in the order of their names: the longest ones, which start a Ray of their own, are then not all left for the end.
test: lint  ## all that has to hold: lint, types, floors, tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)  ## ruff, mypy, and import-linter for the floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED)  ## put the code into ruff's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

train: $(INSTALLED)  ## train a miniature model from scratch (an hour or two on 2 cores)
	$(BIN)/python -m toolformer_ray.miniature.pretrain --out $(TRAINED)

real-text: $(INSTALLED)  ## annotate the real corpora under DATA=../shared/data with the built-in model
	$(BIN)/toolformer build-index $(DATA)/corpus/wiki_passages/passages.jsonl.gz runs/wiki-index
	$(call annotate_real,runs/real-government,$(DATA)/corpus/digitalgov $(DATA)/corpus/18f_blog)
	$(call annotate_real,runs/real-wikipedia,$(DATA)/corpus/wikipedia_docs --max-documents 2000)

real: $(INSTALLED)  ## a real model annotates real text; MODEL=, REAL_TEXTS=100, CORPUS= for your own with the calculator
	$(if $(filter command,$(firstword $(origin MODEL))),,$(BIN)/python -m toolformer_ray.real.model --out $(REAL_RUN))
	$(BIN)/python -m toolformer_ray.real.corpora --data $(DATA) --out $(REAL_RUN) --texts $(REAL_TEXTS) --skip $(REAL_SKIP)
	$(call annotate_with_real,calculator,$(or $(CORPUS),$(REAL_RUN)/calculator.jsonl),)
	$(BIN)/python -m toolformer_ray.real.report --run $(REAL_RUN)/run-calculator --model $(REAL_MODEL) \
	    $(if $(CORPUS),,--key $(REAL_RUN)/key.jsonl)
ifneq ($(and $(wildcard $(DATA)/corpus/wiki_passages),$(if $(CORPUS),,all)),)
	test -e $(REAL_RUN)/index || $(BIN)/toolformer build-index $(DATA)/corpus/wiki_passages/passages.jsonl.gz $(REAL_RUN)/index
	$(call annotate_with_real,search,$(REAL_RUN)/search.jsonl,--search.index $(REAL_RUN)/index)
	$(BIN)/python -m toolformer_ray.real.report --run $(REAL_RUN)/run-search --model $(REAL_MODEL)
	$(call annotate_with_real,calendar,$(REAL_RUN)/calendar.jsonl,)
	$(BIN)/python -m toolformer_ray.real.report --run $(REAL_RUN)/run-calendar --model $(REAL_MODEL)
endif

# The fine-tuned model and its control, on the texts of `make real`, asked word problems in the paper's way.
real-loop:  ## after make real: fine-tune on C* and on C, then ASDiv, SVAMP, MAWPS and perplexity (hours on 2 cores)
	$(MAKE) real
	$(call finetune_real,control,--without-calls)
	$(call finetune_real,tuned,)
	$(call ask_real,$(REAL_MODEL),untuned)
	$(call ask_real,$(REAL_RUN)/control,control)
	$(call ask_real,$(REAL_RUN)/tuned,tuned)

same-rows: demo  ## the demo again, with other workers, shards and batches: the same rows?
	rm -rf runs/same-rows
	$(call annotate_demo,runs/same-rows/again,--shard-size 16)
	$(call annotate_demo,runs/same-rows/one-worker,--shard-size 256 --model-workers 1)
	$(call annotate_demo,runs/same-rows/one-text-a-batch,--shard-size 16 --model-workers 2 --token-budget 1)
	for run in runs/same-rows/*; do $(BIN)/python -m toolformer_ray.workflow.verify.compare $(DEMO) $$run; done

measure: $(INSTALLED)  ## what the driver costs, with stages that do nothing: time a shard, CPU, memory; SHARDS=10000
	$(BIN)/python -m tests.simulation.measure --shards $(SHARDS)

simulate: $(INSTALLED)  ## a million texts with a simulated model on four nodes, and a folder of 100,000 shards
	$(BIN)/python -m tests.simulation.measure --nodes 4 --texts 1000000 --shards 10000 $(SIMULATE)
	$(BIN)/python -m tests.simulation.listing

chaos: $(INSTALLED)  ## kill workers, nodes and the driver 34 times, SEED=1, and compare with a run left alone
	$(BIN)/python -m tests.chaos.run_chaos --seed $(SEED)
	$(BIN)/python -m tests.chaos.run_annotate

mcp-everything:  ## an MCP server in another language, for the tests of tools behind servers (needs npm)
	npm install --prefix runs/npm --no-audit --no-fund @modelcontextprotocol/server-everything@2026.8.31

bench: $(INSTALLED)  ## what the engine costs, against a plain pipeline and the least possible; MODEL=FOLDER
	$(BIN)/python -m toolformer_ray.bench $(if $(filter command,$(firstword $(origin MODEL))),--model $(MODEL)) $(BENCH)

bench-decoding: $(INSTALLED)  ## what decoding with tools costs: batches, slow tools, against one text at a time
	$(BIN)/python -m toolformer_ray.bench.decoding $(BENCH)

bench-filters: $(INSTALLED)  ## how well each filter tells right calls, on texts whose due calls are known; MODEL=FOLDER
	mkdir -p runs/filters
	$(BIN)/python -m toolformer_ray.bench.filters score --model $(MODEL) --data $(DATA)/corpus/gsm8k_train --first 1000 \
	    --rows 40 --out runs/filters/$(notdir $(MODEL))-sums.jsonl
	$(BIN)/python -m toolformer_ray.bench.filters show runs/filters/$(notdir $(MODEL))-sums.jsonl

clean:  ## remove .venv, the demo's run and all caches
	rm -rf $(VENV) $(WORLD) $(DEMO) $(LOOP) $(REAL_RUN) runs/same-rows build *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The miniature was trained on prompts that show the whole text first, and understands no others. It has never met a call
# inside a text, and sees past one only after some tokens; once fine-tuned on calls it sees them in their place.
define annotate_demo
$(BIN)/toolformer annotate --corpus $(or $(4),$(WORLD))/corpus.jsonl --run $(1) --model $(or $(3),$(MODEL)) $(2) \
    --shown whole --call-distance $(if $(3),0,32) --calculator.min-contrast 0.5 \
    $(call world_tools,$(or $(4),$(WORLD)))
endef

define annotate_with_real
$(BIN)/toolformer annotate --corpus $(2) --run $(REAL_RUN)/run-$(1) --model $(REAL_MODEL) --tools $(1) $(3) \
    --shard-size 8 --max-call-tokens 32 $(REAL)
$(BIN)/toolformer status $(REAL_RUN)/run-$(1)
endef

define finetune_real
$(BIN)/toolformer finetune --run $(REAL_RUN)/run-calculator --model $(REAL_MODEL) --out $(REAL_RUN)/$(1) $(REAL_TRAINING) $(2)
endef

define ask_real
$(BIN)/toolformer evaluate --model $(1) --tasks asdiv,svamp,mawps,wikitext2 --data $(DATA)/eval --tools calculator \
    --most $(REAL_QUESTIONS) --max-new-tokens 64 --out $(REAL_RUN)/$(2).parquet
endef

define finetune_loop
$(BIN)/toolformer finetune --run $(LOOP)/$(1) --model $(MODEL) --out $(LOOP)/$(2) $(LOOP_TRAINING) $(3)
endef

define ask_model
$(BIN)/toolformer evaluate --model $(1) --tasks continuation,wikitext2 $(call world_tools,$(LOOP)/world) \
    --path.continuation $(LOOP)/unseen/questions.jsonl --path.wikitext2 $(LOOP)/unseen/plain.jsonl \
    --out $(LOOP)/$(2).parquet
endef

define annotate_real
$(BIN)/toolformer annotate --corpus $(2) --run $(1) --model $(MODEL) \
    --shown whole --call-distance 32 --tools calculator,calendar,search --search.index runs/wiki-index $(FEWER)
$(BIN)/toolformer verify $(1)
endef

$(INSTALLED): pyproject.toml constraints.txt
	@[[ -n "$(PYTHON)" ]] && "$(PYTHON)" -c '$(IS_RECENT)' || \
	    { echo "this needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$("$(PYTHON)" --version); the first time this takes a few minutes."
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Another world or another model is another run.
$(WORLD)/corpus.jsonl: miniature/demo_corpus.py miniature/names.py miniature/texts.py miniature/world.py \
    $(wildcard $(MODEL)/*) | $(INSTALLED)
	rm -rf $(DEMO)
	$(BIN)/python -m toolformer_ray.miniature.demo_corpus --out $(WORLD) --texts-per-tool $(TEXTS)

$(WORLD)/index/index.json: $(WORLD)/corpus.jsonl
	$(BIN)/toolformer build-index $(WORLD)/passages.jsonl $(WORLD)/index
