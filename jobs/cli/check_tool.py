"""`toolformer check-tool ./units.py`: what a tool owes the rest, checked, one line each."""


def check_tool(place: str) -> int:
    """Check a tool; the exit code: 0, or 1 if a check has found a fault.

    Raises ValueError, one line, for a place that holds no tool.

    Parameters
    ----------
    place
        What would stand behind --tools: a file such as ./units.py, package.module:NAME, or a name. Its options are at
        their defaults.
    """
    from toolformer_ray.tools.brought.contract import faults_of
    from toolformer_ray.workflow.tool_choice import ToolChoice

    num_faults = 0
    for key, tool in ToolChoice(keys=(place,)).make().items():
        tool.open()
        drafted = ", its prompt is made of its schema" if tool.has_drafted_prompt else ""
        print(f"{key}: {tool.name}, {len(tool.examples)} examples{drafted}")
        for told, fault in faults_of(tool):
            num_faults += fault is not None
            print(f"  {'FAULT' if fault else 'ok   '} {told}{f': {fault}' if fault else ''}")
    return 1 if num_faults else 0
