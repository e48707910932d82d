from .alt import (
    describe as describe,
)
from .curves import (
    activation_ranges as activation_ranges,
    bars as bars,
    decision_boundary as decision_boundary,
    function_and_derivative as function_and_derivative,
    learning_curve as learning_curve,
)
from .display import (
    Picture as Picture,
    show as show,
)
from .grids import (
    confusion as confusion,
    heatmap as heatmap,
    images as images,
)
from .style import (
    colors as colors,
    on_theme as on_theme,
    panels as panels,
    use_style as use_style,
)
from .graph import (
    draw_graph as draw_graph,
    graph_alt as graph_alt,
)
