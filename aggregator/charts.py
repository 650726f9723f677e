"""Charts as inline SVG of the same bytes each time, without scripts."""

import sys

import pygal
from lxml import etree
from pygal.style import Style

# pygal leaves an import hook behind that Python 3.12 ignores and 3.11 warns of at every later import
sys.meta_path[:] = [hook for hook in sys.meta_path if type(hook).__name__ != "PluginImportFixer"]

Bar, Line, XY = pygal.Bar, pygal.Line, pygal.XY
"""To be taken from here: who imports pygal first would leave its hook to the next import."""

PLAIN = {
    "height": 320,
    "width": 760,
    "show_legend": True,
    "legend_at_bottom": True,
    "truncate_legend": -1,
    "truncate_label": -1,
    "disable_xml_declaration": True,
    "no_prefix": True,
    "js": (),
    "pretty_print": False,
}
"""Settings of every chart."""


def style(*colors: str) -> Style:
    """Return the style of all charts with a series' colours in their order."""
    return Style(
        background="transparent",
        plot_background="transparent",
        colors=colors,
        font_family="sans-serif",
    )


def svg(chart: "pygal.Graph") -> str:
    """Return a chart as SVG, without what names today's date or belongs to a script."""
    chart.add_xml_filter(_figures_only)
    return str(chart.render(is_unicode=True))


def _figures_only(root: "etree._Element") -> "etree._Element":
    """Take out pygal's comments, which name today's date, and the settings of a script we do not ship."""
    etree.strip_elements(root, "{*}script", etree.Comment, with_tail=False)
    return root
