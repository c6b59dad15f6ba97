"""scripts/study.py: the lecture's demonstrations. The studies return numbers and figures; this writes them down."""
